"""Tests of many tabs with few permits: tabs show their queue position; one too many is refused."""

from pathlib import Path

import pytest
from textual.widget import Widget

from koel_tui.agents import LocalAgent
from koel_tui.conversation.backend import Backend
from koel_tui.engine import Engine, ModelSpec
from koel_tui.session import KoelClient
from koel_tui.storage import MemoryStorage
from tests.engine.scripted import ScriptedLink
from tests.ui.window import Window, opened

PARALLEL = 4
MOST_WIDGETS = 3000


async def ask(window: Window, number: int) -> None:
    """Ask in the active tab."""
    await window.type(f"Question {number}")
    await window.press("enter")


async def placed(window: Window, link: ScriptedLink, number: int) -> None:
    """Wait until the newest tab shows its position in the queue."""
    waiting = max(0, number - PARALLEL)
    await window.until(lambda: len(link.opened_sessions) == number, "a session")
    await window.until(
        lambda: (f"queued {waiting}" in window.tabs[-1]) is bool(waiting), "its place"
    )


async def answer(window: Window, link: ScriptedLink, number: int) -> None:
    """Wait until this many turns have started, and answer the last of them."""
    await window.until(lambda: len(link.started) >= number, "the next turn")
    session = link.started[number - 1]
    link.say(session, f"answer {number}")
    link.end(session)


async def crowded(tabs: int) -> None:
    link = ScriptedLink()

    async def load(_progress: object) -> Engine:
        spec = ModelSpec(Path("none.gguf"))
        engine = Engine(link, spec, max_sessions=tabs, parallel=PARALLEL)
        await engine.start()
        return engine

    agent, storage = LocalAgent(load), MemoryStorage()

    def connect() -> Backend:
        return Backend(KoelClient(agent, storage=storage), storage, agent)

    async with opened(connect=connect) as window:
        await window.connected()
        for number in range(1, tabs + 1):
            if number > 1:
                await window.press("ctrl+n")
            await ask(window, number)
            await placed(window, link, number)
        assert len(link.turns) == PARALLEL, "more at once than there are permits"
        await window.press("ctrl+n")
        await ask(window, tabs + 1)
        await window.reads(f"Max concurrent sessions ({tabs}) reached")
        assert len(link.opened_sessions) == tabs
        # Activate every tab once: only the active tab has widgets for its messages.
        for _ in range(tabs + 1):
            await window.press("f6")
            assert len(window.app.query(Widget)) < MOST_WIDGETS
        for number in range(1, tabs + 1):
            await answer(window, link, number)
        assert link.started == link.opened_sessions, "not first come, first served"
        await window.until(
            lambda: not any("queued" in each or "⌛" in each for each in window.tabs)
        )
        assert not link.turns
        await window.press("alt+1", "alt+w", "ctrl+n")
        await ask(window, tabs + 2)
        await window.until(lambda: bool(link.turns), "the place that was freed")
        link.end(link.started[-1])
    assert link.closed


async def test_eight_tabs_with_four_permits_are_answered_in_order() -> None:
    await crowded(8)


@pytest.mark.slow
async def test_32_tabs_with_four_permits_are_answered_in_order() -> None:
    await crowded(32)
