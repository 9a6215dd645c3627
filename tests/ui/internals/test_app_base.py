"""Tests of the base of the app: what waits for the end of a batch of updates."""

import pytest
from textual.screen import Screen

from tests.ui.window import opened


async def test_the_end_of_a_batch_wakes_the_screen_below_a_panel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the last text of an answer is missing around the panel."""
    async with opened() as window:
        await window.press("f3")
        await window.until(lambda: len(window.app.screen_stack) == 2)
        woken: list[object] = []
        with monkeypatch.context() as patch:
            patch.setattr(Screen, "check_idle", lambda screen: woken.append(screen))
            with window.app.batch_update(), window.app.batch_update():
                pass
        assert woken == window.app.screen_stack
