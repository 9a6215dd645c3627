"""Fewer bytes for a terminal far away: the window is painted less often."""

import asyncio
from time import monotonic

import pytest
from rich.console import Console
from rich.segment import Segment
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from koel_tui.ui.app.app import LOW_BANDWIDTH_INTERVAL
from koel_tui.ui.app.main_screen import MainScreen
from koel_tui.ui.internals import LineDiff
from koel_tui.ui.transcript.transcript import Transcript
from tests.ui.window import opened

PIECES = 60


@pytest.mark.parametrize(("painter", "method"), [(Transcript, "_repaint"), (MainScreen, "_paint")])
async def test_with_low_bandwidth_paintings_are_no_closer_than_a_fifth_of_a_second(
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


def lines(*texts: str) -> LayoutUpdate:
    """Return an update of a whole screen."""
    strips = [[Strip([Segment(text)])] for text in texts]
    return LayoutUpdate(list(strips), Region(0, 0, 10, len(texts)))


def part(y: int, text: str) -> ChopsUpdate:
    """Return an update of the beginning of a line."""
    end = len(text)
    chops = [{0: Strip([Segment(text)])} if line == y else {} for line in range(y + 1)]
    return ChopsUpdate(chops, [(y, 0, end)], [[end]] * (y + 1))


def test_only_lines_that_changed_are_sent() -> None:
    console = Console()
    sent = LineDiff()

    def send(update: LayoutUpdate | ChopsUpdate) -> str:
        return sent.changed_only(update).render_segments(console)

    assert "one" in (first := send(lines("one", "two"))) and "two" in first
    assert send(lines("one", "two")) == ""
    changed = send(lines("one", "TWO"))
    assert changed.endswith("TWO") and "one" not in changed
    assert "ONE" in send(part(0, "ONE"))
    assert send(part(0, "ONE")) == ""
    assert "one" in send(lines("one", "TWO")), "the line was another one meanwhile"
    sent.forget()
    assert "TWO" in send(lines("one", "TWO"))
    # What is never sent, because the window is busy or closed, does not count as sent.
    sent.changed_only(lines("three", "four"))
    assert "four" in send(lines("three", "four"))
