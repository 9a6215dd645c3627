"""The line display on an emulated terminal: the screen and the cursor after each change."""

import random
from time import process_time

import pyte
import pytest

from koel_tui.plain.line_display import LineDisplay

COLUMNS = 20
ROWS = 30
LETTERS = ("abc \n日é", "abc \nжé")


class Emulated:
    """A line display on an emulated terminal, below a line of other text."""

    def __init__(self, *, can_move: bool = True, rows: int = ROWS) -> None:
        self.written: list[str] = []
        self.screen = pyte.Screen(COLUMNS, rows)
        self._stream = pyte.Stream(self.screen)
        self.display = LineDisplay(
            self.write, lambda: (self.screen.columns, self.screen.lines), can_move=can_move
        )

    def write(self, text: str) -> None:
        self.written.append(text)
        self._stream.feed(text.replace("\n", "\r\n"))  # as the line discipline does

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def cursor(self) -> tuple[int, int]:
        return self.screen.cursor.y, self.screen.cursor.x


def drawn(prompt: str, text: str, cursor: int) -> tuple[list[str], tuple[int, int]]:
    """Return the lines and the cursor position that a new display shows."""
    whole, moved = Emulated(), Emulated()
    whole.display.show(prompt, text, len(text))
    moved.display.show(prompt, text[:cursor], cursor)
    if cursor < len(text) and moved.cursor[1] == COLUMNS:
        return whole.lines, (moved.cursor[0] + 1, 0)
    return whole.lines, moved.cursor


def test_typed_text_is_written_without_escape_sequences() -> None:
    there = Emulated()
    for text in ("", "h", "he", "hel", "he", "h", "hey"):
        there.display.show("You: ", text, len(text))
    assert "\x1b" not in "".join(there.written)
    assert there.lines[0] == "You: hey"
    there.display.leave()
    assert there.cursor == (1, 0) and not there.display.is_shown


@pytest.mark.parametrize("seed", range(6))
def test_any_edit_shows_the_same_as_a_new_display(seed: int) -> None:
    chance = random.Random(seed)
    there = Emulated()
    text, cursor = "", 0
    for _ in range(60):
        if chance.random() < 0.6:
            new = "".join(chance.choices(LETTERS[seed % 2], k=chance.randint(1, 6)))
            text, cursor = text[:cursor] + new + text[cursor:], cursor + len(new)
        elif chance.random() < 0.5:
            start = max(0, cursor - chance.randint(1, 9))
            text, cursor = text[:start] + text[cursor:], start
        else:
            cursor = chance.randint(0, len(text))
        text = text[:150]
        cursor = min(cursor, len(text))
        there.display.show("You: ", text, cursor)
        assert (there.lines, there.cursor) == drawn("You: ", text, cursor), (text, cursor)


def test_a_terminal_that_cannot_move_gets_no_escape_sequence() -> None:
    there = Emulated(can_move=False)
    for text, cursor in (("one", 3), ("one two", 7), ("one two", 4), ("one to", 5), ("x" * 40, 40)):
        there.display.show("You: ", text, cursor)
    there.display.leave()
    assert "\x1b" not in "".join(there.written)
    assert there.lines[:4] == ["You: one to", "You: " + "x" * 15, "x" * 20, "x" * 5]


def test_short_edits_need_no_escape_sequence() -> None:
    there = Emulated()
    for text, cursor in (("one", 3), ("one two", 7), ("one two", 0), ("1 two", 1), ("1 two", 4)):
        there.display.show("You: ", text, cursor)
        assert (there.lines, there.cursor) == drawn("You: ", text, cursor)
    assert "\x1b" not in "".join(there.written)


def test_an_edit_writes_no_text_before_it() -> None:
    """A screen reader reads all text that is written."""
    there = Emulated()
    lines = "привет, как\nlong line of text that wraps\nlast"
    there.display.show("You: ", lines, len(lines))
    edits = [
        (lines[:-1], len(lines) - 1, 3), (lines, len(lines), 1), (lines, len(lines) - 1, 12),
        (lines, 30, 12), (lines, 11, 12), (lines, 4, 12),
    ]  # fmt: skip
    for text, cursor, most in edits:
        there.written.clear()
        there.display.show("You: ", text, cursor)
        assert len("".join(there.written)) <= most, (text, cursor, there.written)
        assert (there.lines, there.cursor) == drawn("You: ", text, cursor), (text, cursor)
    there.display.show("You: ", lines, 30)
    there.written.clear()
    there.display.show("You: ", lines[:29] + lines[30:], 29)
    assert "привет" not in "".join(there.written) and "You" not in "".join(there.written)


def test_backspace_after_letters_of_one_column_writes_only_the_erasure() -> None:
    there = Emulated()
    there.display.show("You: ", "привет", 6)
    there.written.clear()
    there.display.show("You: ", "приве", 5)
    assert there.written == ["\b \b"] and there.lines[0] == "You: приве"


def test_moves_in_text_that_is_taller_than_the_screen_write_no_text() -> None:
    there = Emulated(rows=4)
    text = "\n".join(f"line {number}" for number in range(9))
    there.display.show("You: ", text, len(text))
    shown = there.lines
    there.written.clear()
    for cursor in range(len(text) - 1, -1, -1):
        there.display.show("You: ", text, cursor)
        assert there.lines == shown
    for cursor in range(len(text)):
        there.display.show("You: ", text, cursor)
        assert there.lines == shown
    assert "line 7" not in "".join(there.written)
    there.display.show("You: ", f"{text}!", len(text) + 1)
    assert there.lines == [*shown[:3], "line 8!"]


@pytest.mark.parametrize(("before", "after"), [(40, 20), (20, 40)])
def test_a_resize_erases_nothing_above_the_text(before: int, after: int) -> None:
    there = Emulated()
    there.screen.resize(columns=before)
    there.write("The answer.\n")
    there.display.show("You: ", "x" * 30, 30)
    there.screen.resize(columns=after)
    there.display.show("You: ", "x" * 29 + "é", 30)
    there.display.show("You: ", "x" * 29, 29)
    assert there.lines[0] == "The answer."
    assert "".join(there.lines).endswith("You: " + "x" * 29)
    there.screen.resize(columns=before)
    there.display.leave()
    assert there.lines[0] == "The answer." and there.cursor[1] == 0


def test_a_move_in_long_text_takes_about_as_long_as_a_few_copies_of_it() -> None:
    there = LineDisplay(lambda _: None, lambda: (COLUMNS, ROWS), can_move=True)
    text = "word " * 20_000
    there.show("You: ", text, len(text))
    begun = process_time()
    for number in range(20):
        there.show("You: ", text, len(text) - number)
    moves = process_time() - begun
    begun = process_time()
    for _ in range(20):
        sum(1 for _ in text)  # the reference: one Python step per character
    assert moves < process_time() - begun
