"""The typed text on an emulated terminal: the screen and the cursor after each change."""

import random

import pyte
import pytest

from koel_tui.plain.line_display import LineDisplay

COLUMNS = 20
ROWS = 30
LETTERS = "abc \n日é"


class Emulated:
    """A display on an emulated terminal, which starts below a line of other text."""

    def __init__(self, *, can_move: bool = True) -> None:
        self.written: list[str] = []
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.Stream(self.screen)
        self.display = LineDisplay(self.write, lambda: COLUMNS, can_move=can_move)

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
    """Return the lines and the cursor that a new display shows."""
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
def test_any_edit_shows_what_a_new_display_shows(seed: int) -> None:
    chance = random.Random(seed)
    there = Emulated()
    text, cursor = "", 0
    for _ in range(60):
        if chance.random() < 0.6:
            new = "".join(chance.choices(LETTERS, k=chance.randint(1, 6)))
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
