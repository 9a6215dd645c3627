"""Tests of the offer to park the least recently used thread at the session limit."""

from koel_tui.protocol import AgentError
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, opened


async def ask(window: Window, question: str, answer: str) -> None:
    turn = await window.ask(question)
    turn.measure(model="Scripted-1B")
    turn.write(answer)
    turn.finish()
    await window.reads(answer)


async def full(window: Window) -> None:
    """Answer two threads, and refuse a third with a session limit error."""
    await ask(window, "First", "One.")
    await window.press("ctrl+n")
    await ask(window, "Second", "Two.")
    await window.press("ctrl+n")
    turn = await window.ask("Third")
    turn.fail("8 sessions are open", code="SessionLimitError")
    await window.sees("Park a thread?")
    await window.sees("  First")


async def test_enter_parks_the_least_recently_used_session_and_retries() -> None:
    agent = ScriptedAgent()
    async with opened(agent=agent) as window:
        await window.connected()
        await full(window)
        await window.press("enter")
        await window.until(lambda: len(agent.turns) == 4, "a run")
        assert agent.turns[3].prompt == "Third"
        assert agent.released == [agent.turns[0].asked.thread_id]
        agent.turns[3].write("Three.")
        agent.turns[3].finish()
        await window.reads("Three.")
        await window.misses("8 sessions are open")


async def test_esc_parks_no_session() -> None:
    agent = ScriptedAgent()
    async with opened(agent=agent) as window:
        await window.connected()
        await full(window)
        await window.press("escape")
        await window.misses("Park a thread?")
        await window.reads("8 sessions are open")
        await window.reads("Retry (alt+r)")
        assert agent.released == [] and len(agent.turns) == 3


async def test_a_session_limit_without_a_session_to_park_shows_the_error_only() -> None:
    async with opened() as window:
        turn = await window.ask("Third")
        turn.fail("8 sessions are open", code="SessionLimitError")
        await window.reads("8 sessions are open")
        assert isinstance(window.app._workspace.active._session.state.error, AgentError)  # type: ignore[union-attr]  # not None
        assert len(window.app.screen_stack) == 1
