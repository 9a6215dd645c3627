"""Fewer bytes for a terminal far away: the window is painted less often."""

import asyncio
from time import monotonic

import pytest

from koel_tui.ui.tabbed import LOW_BANDWIDTH_INTERVAL, TabbedApp
from koel_tui.ui.transcript import Transcript
from tests.ui.window import opened

PIECES = 60


@pytest.mark.parametrize(("painter", "method"), [(Transcript, "_sync"), (TabbedApp, "_paint")])
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
