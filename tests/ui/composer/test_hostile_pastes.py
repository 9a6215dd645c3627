"""Tests of huge pastes and pastes with control characters: they only insert text."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from textual import events
from textual.widgets import Input

from koel_tui.text import safe_input
from tests.hostile import EVERYTHING, HOSTILE
from tests.hostile_summary import Tally
from tests.ui.window import Window, opened

MEGABYTE = 1_000_000
PASTES = {
    "escape": "a\x1bb",
    "nul": "a\0b",
    "terminator": "a\x1b[201~\rb\r",
    "beginning": "a\x1b[200~b",
    "keys": "a\x1b[A\x1b\r\x11\x03\x0fb",
    "everything": f"a{EVERYTHING}b",
    "half a pair": "a\ud83d b",
    "line ends": "a\r\nb\rc\nd\u2028e\x85f",
}
LARGE = {
    "one line": "x" * (5 * MEGABYTE),
    "lines": "line of text\n" * (5 * MEGABYTE // 13),
    "escapes": "\x1b[31m" * MEGABYTE,
    "wide": "漢" * (2 * MEGABYTE),
    "empty lines": "\r\n" * (2 * MEGABYTE),
}


@asynccontextmanager
async def beating() -> AsyncIterator[list[float]]:
    """Yield a list that records the delays of the event loop, in seconds."""
    away: list[float] = []

    async def beat() -> None:
        last = monotonic()
        while True:
            await asyncio.sleep(0.005)
            away.append(monotonic() - last)
            last = monotonic()

    beats = asyncio.create_task(beat())
    try:
        yield away
    finally:
        beats.cancel()


def tabs_and_turns(window: Window) -> tuple[int, int, int]:
    return len(window.tabs), len(window.agent.turns), len(window.app.screen_stack)


@pytest.mark.parametrize("what", PASTES)
async def test_a_paste_is_text_and_presses_no_key(what: str, tally: Tally) -> None:
    async with opened() as window:
        before = tabs_and_turns(window)
        await window.type(PASTES[what])
        await window.prompts(safe_input(PASTES[what]))
        assert not set(window.prompt.text) & set(HOSTILE)
        assert tabs_and_turns(window) == before and window.app.is_running
        await window.press("ctrl+o")
        await window.sees("esc closes")
        await window.type(PASTES[what])
        field = window.app.screen.query_one(Input)
        await window.until(lambda: field.value.startswith("a"))
        assert not set(field.value) & set(HOSTILE) and "\n" not in field.value
        assert tabs_and_turns(window) == (before[0], before[1], before[2] + 1)
    tally("paste", tried=2)


@pytest.mark.parametrize("what", LARGE)
async def test_a_paste_of_five_megabytes_does_not_block_the_window(what: str, tally: Tally) -> None:
    start = time.perf_counter()
    safe_input(LARGE[what])
    sanitizing = time.perf_counter() - start
    async with opened() as window, beating() as away:
        window.app.post_message(events.Paste(LARGE[what]))
        await window.until(lambda: window.prompt.text.startswith("[pasted"))
        await window.press("ctrl+z")
        await window.prompts("")
        assert max(away) < 0.3 + 4 * sanitizing
        assert window.agent.turns == []
    tally("paste", tried=1)
