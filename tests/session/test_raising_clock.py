"""A clock that raises: a send raises, a run ends, and the session can be disposed."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from koel_tui.protocol import RunPhase
from koel_tui.session import ChatSession, KoelClient, tool_handler
from koel_tui.session.tools import Tools
from koel_tui.storage import MemoryStorage
from tests.session.helpers import ScriptedAgent, eventually, said, say
from tests.session.test_tools import calling


class Clock:
    """A clock that raises while it is broken."""

    broken = False

    def __call__(self) -> datetime:
        if self.broken:
            raise OSError("The clock cannot be read.")
        return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def begun(
    session: ChatSession, holds: Callable[[], bool] | None = None, tools: Tools = ()
) -> asyncio.Task[None]:
    """Start a send and wait until the condition holds, or until the answer begins."""
    sending = asyncio.create_task(session.send("hi", tools=tools))
    await eventually(holds or (lambda: bool(session.state.open_messages)))
    return sending


async def test_a_cancelled_run_ends_without_a_timestamp(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    client = KoelClient(ScriptedAgent(say("Hel", gate=asyncio.Event())), clock=clock)
    session = client.new_session()
    sending = await begun(session)
    clock.broken = True
    with caplog.at_level(logging.ERROR):
        session.cancel()
    assert session.state.phase is RunPhase.CANCELLED
    assert said(session.state) == [("user", "hi"), ("assistant", "Hel")]
    assert "The clock raised" in caplog.text and "cannot be read" in caplog.text
    await asyncio.wait_for(sending, 5)
    await client.dispose()


async def test_the_unanswered_calls_of_a_cancelled_run_are_answered(clock: Clock) -> None:
    waiting = asyncio.Event()

    async def wait() -> str:
        waiting.set()
        await asyncio.Event().wait()
        return ""

    client = KoelClient(ScriptedAgent(calling(("c1", "wait", "{}"))), clock=clock)
    session = client.new_session()
    sending = await begun(session, waiting.is_set, tools=[tool_handler(wait)])
    clock.broken = True
    session.cancel()
    assert session.state.phase is RunPhase.CANCELLED
    assert "the user stopped this" in session.state.messages[-1].content
    await asyncio.wait_for(sending, 5)
    await client.dispose()


async def test_every_session_of_a_client_is_disposed_at_once(clock: Clock) -> None:
    storage = MemoryStorage()
    client = KoelClient(ScriptedAgent(say("Hel", gate=asyncio.Event())), storage, clock=clock)
    sessions = [client.new_session(name) for name in ("a", "b")]
    for session in sessions:
        await begun(session)
    clock.broken = True
    await asyncio.wait_for(client.dispose(), 5)
    for session in sessions:
        assert session.closed and not session.dirty
        saved = await storage.load(session.thread_id)
        assert saved is not None and said(saved)[-1] == ("assistant", "Hel")


async def test_a_run_fails_with_the_error_of_the_clock(clock: Clock) -> None:
    gate = asyncio.Event()
    client = KoelClient(ScriptedAgent(say("Hel", gate=gate)), MemoryStorage(), clock=clock)
    session = client.new_session()
    sending = await begun(session)
    clock.broken = True
    gate.set()
    await asyncio.wait_for(sending, 5)
    assert session.state.phase is RunPhase.ERROR
    assert "cannot be read" in str(session.state.error)
    await client.dispose()
    assert not session.dirty


async def test_a_question_without_a_time_is_refused(clock: Clock) -> None:
    agent = ScriptedAgent(say("ok"))
    session = KoelClient(agent, clock=clock).new_session()
    clock.broken = True
    with pytest.raises(OSError, match="cannot be read"):
        await session.send("hi")
    assert not session.state.messages and not agent.inputs
    clock.broken = False
    await session.send("hi")
    assert said(session.state) == [("user", "hi"), ("assistant", "ok")]
