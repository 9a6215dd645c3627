"""The number of widgets and the longest block of the event loop, for any text. Run alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.widget import Widget

from koel_tui.storage import MemoryStorage
from tests.benchmarks.ui.answers import history, last_text
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, messages, opened

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(120)]
MESSAGES = 5000
BEAT = 0.002
HOSTILE = {
    "2,000 list items": "\n".join(f"- item {n}" for n in range(2000)),
    "a table of 200 by 50": "\n".join(
        ["|" + "h|" * 50, "|" + "-|" * 50, *("|" + "x|" * 50 for _ in range(200))]
    ),
}
PIECES = 40


async def test_the_number_of_mounted_widgets_of_a_long_thread_is_limited() -> None:
    storage = MemoryStorage()
    await storage.save("long", history(MESSAGES))
    most_messages = most_widgets = 0
    async with opened(storage=storage, thread="long", agent=ScriptedAgent()) as window:
        await window.reads(last_text(MESSAGES))
        for key in ["pageup"] * 120 + ["pagedown"] * 60:
            await window.press(key)
            shown = len(window.shown)
            most_messages = max(most_messages, shown)
            most_widgets = max(most_widgets, len(window.transcript.query(Widget)))
    print()
    print(
        f"mounted of {MESSAGES} messages while paging: {most_messages} messages (limit 40), "
        f"{most_widgets} widgets of the transcript (limit 150)"
    )
    assert most_messages <= 40


@asynccontextmanager
async def longest_gap(gaps: list[float]) -> AsyncIterator[None]:
    """Append the longest block of the event loop during the context manager, in seconds."""

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(BEAT)
            now = time.perf_counter()
            gaps[0] = max(gaps[0], now - last - BEAT)
            last = now

    gaps.append(0.0)
    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


async def stream(window: Window, text: str) -> None:
    turn = await window.ask("Go")
    for start in range(0, len(text), len(text) // PIECES + 1):
        turn.write(text[start : start + len(text) // PIECES + 1])
        await asyncio.sleep(0.05)  # the time between two pieces
    turn.finish()
    await window.until(lambda: "saved" in window.status)
    await window.pilot.pause()


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_markdown_does_not_block_the_window(name: str) -> None:
    text = HOSTILE[name]
    written: list[float] = []
    async with opened() as window, longest_gap(written):
        await stream(window, text)
    storage = MemoryStorage()
    await storage.save("hostile", messages(2, text))
    read: list[float] = []
    async with longest_gap(read), opened(storage=storage, thread="hostile") as window:
        await window.until(lambda: len(window.shown) == 2)
        await window.pilot.pause()
    print()
    print(
        f"{name}, {len(text) / 1000:.0f} kB: longest gap of the event loop "
        f"{written[0]:.3f} s while written (limit 0.25 s), {read[0]:.3f} s while opened"
    )
