"""Tests of the low-bandwidth mode: fewer bytes are sent, and the window is painted less often."""

import asyncio
import random
from time import monotonic

import pyte
import pytest
from rich.console import Console
from rich.control import Control
from rich.segment import Segment
from rich.style import Style
from textual.screen import Screen
from textual.strip import Strip

from koel_tui.ui.app.app import LOW_BANDWIDTH_INTERVAL
from koel_tui.ui.app.main_screen import MainScreen
from koel_tui.ui.internals import ScreenDiff, install_output_sanitizer
from koel_tui.ui.transcript.transcript import Transcript
from tests.ui.window import opened

PIECES = 60


@pytest.mark.parametrize(("painter", "method"), [(Transcript, "_repaint"), (MainScreen, "_paint")])
async def test_low_bandwidth_limits_paints_to_five_per_second(
    monkeypatch: pytest.MonkeyPatch, painter: type, method: str
) -> None:
    began: list[float] = []
    paint = getattr(painter, method)

    async def noted(self: object) -> None:
        began.append(monotonic())
        await paint(self)

    monkeypatch.setattr(painter, method, noted)
    async with opened(low_bandwidth=True) as window:
        turn = await window.ask("Count.")
        began.clear()
        start = monotonic()
        for number in range(PIECES):
            turn.write(f"{number}, ")
            await asyncio.sleep(1 / PIECES)
        turn.finish()
        await window.reads(f"{PIECES - 1},")
        assert 1 < len(began) <= 2 + (monotonic() - start) / LOW_BANDWIDTH_INTERVAL


COLUMNS, ROWS = 24, 12
WORDS = ("harbour ", "tide ", "漢字 ", "naïve ", "e\u0301te ", "⚓\ufe0f ", " ", "        ")
LOOKS = ("none", "bold", "red on blue", "green")
PLAIN = Console(color_system="truecolor", force_terminal=True)


def row(chance: random.Random) -> Strip:
    """Return a row of random words in several styles."""
    words = [
        Segment(chance.choice(WORDS), Style.parse(look)) for look in chance.choices(LOOKS, k=4)
    ]
    return Strip(words).adjust_cell_length(COLUMNS)


def shown(screen: pyte.Screen, output: str) -> list[list[pyte.screens.Char]]:
    """Return the cells of the emulated terminal after it has processed an output."""
    pyte.ByteStream(screen).feed(output.encode())
    return [[screen.buffer[y][x] for x in range(COLUMNS)] for y in range(ROWS)]


def changed(rows: list[Strip], chance: random.Random) -> list[Strip]:
    """Return the rows after several have moved, or one has been replaced or ends differently."""
    rows = list(rows)
    y = chance.randrange(ROWS)
    match chance.randrange(4):
        case 0:
            count = chance.randint(1, 3)
            rows[2:10] = [*rows[2 + count : 10], *(row(chance) for _ in range(count))]
        case 1:
            count = chance.randint(1, 3)
            rows[2:10] = [*(row(chance) for _ in range(count)), *rows[2 : 10 - count]]
        case 2:
            rows[y] = row(chance)
        case 3:
            end = Strip([Segment("x")])
            rows[y] = Strip.join([rows[y].crop(0, 9), end]).adjust_cell_length(COLUMNS)
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_a_terminal_shows_the_same_as_after_a_complete_paint(seed: int) -> None:
    install_output_sanitizer()  # it positions the text after an emoji
    chance = random.Random(seed)
    rows = [row(chance) for _ in range(ROWS)]
    diff, terminal = ScreenDiff(), pyte.Screen(COLUMNS, ROWS)
    for _ in range(40):
        output = diff.render(rows, PLAIN)
        complete = ScreenDiff().render(rows, PLAIN)
        assert shown(terminal, output) == shown(pyte.Screen(COLUMNS, ROWS), complete)
        rows = changed(rows, chance)


def text_rows(first: int) -> list[Strip]:
    """Return rows that are numbered from `first`, between a heading and a prompt."""
    numbered = [f"the tide of day {number}" for number in range(first, first + ROWS - 2)]
    return [Strip([Segment(text.ljust(COLUMNS))]) for text in ("Harbour", *numbered, "> ")]


def test_only_changed_cells_are_sent() -> None:
    diff = ScreenDiff()
    complete = len(diff.render(text_rows(100), PLAIN))
    assert diff.render(text_rows(100), PLAIN) == ""
    rows = text_rows(100)
    rows[1] = Strip([Segment("the tide of day 101".ljust(COLUMNS))])
    assert diff.render(rows, PLAIN) == f"{Control.move_to(18, 1).segment.text}1"
    diff.render(text_rows(100), PLAIN)
    for rows in (text_rows(101), text_rows(100)):
        output = diff.render(rows, PLAIN)
        assert len(output) < complete / 3, "the rows that moved are sent again"
    diff.forget()
    assert len(diff.render(text_rows(100), PLAIN)) == complete


def test_a_dropped_update_does_not_count_as_shown() -> None:
    diff = ScreenDiff()
    diff.render(text_rows(100), PLAIN)
    diff.update(Screen())  # Textual drops an update while the window is busy or closes
    assert diff.render(text_rows(101), PLAIN)
