import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest
from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
)

from koel_tui.protocol import (
    RunPhase,
)
from koel_tui.session import KoelClient
from koel_tui.session.run import CANCEL_TIMEOUT
from koel_tui.storage import MemoryStorage
from tests.hostile_summary import Tally
from tests.session.helpers import (
    ScriptedAgent,
    begin,
    collected,
    content,
    eventually,
    other_tasks,
    said,
    say,
    start,
    stubborn,
)


@pytest.fixture(autouse=True)
def counted(tally: Tally) -> None:
    """Count each passed test of this module."""
    tally("cancellation", tried=1)


async def test_session_case_23_cancel_is_immediate_and_keeps_the_received_text() -> None:
    storage = MemoryStorage()
    stopped = asyncio.Event()

    async def endless(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        try:
            yield begin(run)
            yield start("m")
            while True:
                yield content("m", "ha ")
                await asyncio.sleep(0)
        finally:
            stopped.set()

    agent = ScriptedAgent(endless, say("ok"))
    session = KoelClient(agent, storage=storage).new_session("t")
    sending = asyncio.create_task(session.send("laugh"))
    await eventually(lambda: len(session.state.pending_messages) > 0)
    session.cancel()
    assert session.state.phase is RunPhase.CANCELLED
    assert session.state.error is None
    cancelled = session.state
    events = session.events()
    async with asyncio.timeout(1):
        await sending
        await stopped.wait()
    assert session.state is cancelled
    kept = session.state.messages[-1]
    assert kept.interrupted and kept.timestamp is not None and kept.content.startswith("ha")
    assert await storage.load("t") == cancelled
    await session.send("again")
    assert session.state.messages[1] == kept
    assert agent.inputs[1].messages[1].content == kept.content
    await session.dispose()
    assert len(await collected(events)) == 5  # only those of the second run


async def test_cancel_before_the_first_token_leaves_no_empty_message() -> None:
    gate = asyncio.Event()
    session = KoelClient(ScriptedAgent(say(gate=gate))).new_session()
    sending = asyncio.create_task(session.send("hi"))
    await eventually(lambda: bool(session.state.pending_messages))
    session.cancel()
    await sending
    assert said(session.state) == [("user", "hi")]


async def test_a_run_cancelled_before_it_begins_calls_no_agent() -> None:
    agent = ScriptedAgent(say("ok"))
    session = KoelClient(agent).new_session()
    sending = session.send("hi")
    session.cancel()
    async with asyncio.timeout(1):
        await sending
    assert (session.state.phase, agent.inputs) == (RunPhase.CANCELLED, [])


async def test_cancel_on_an_idle_session_changes_nothing() -> None:
    session = KoelClient(ScriptedAgent(say("ok"))).new_session()
    await session.send("hi")
    before = session.state
    session.cancel()
    assert session.state is before


async def test_session_case_24_an_agent_that_ignores_cancellation_does_not_delay_cancel(
    caplog: pytest.LogCaptureFixture, free: asyncio.Event
) -> None:
    waiting = asyncio.Event()
    session = KoelClient(ScriptedAgent(stubborn(free, waiting))).new_session()
    sending = asyncio.create_task(session.send("hi"))
    await waiting.wait()
    events = session.events()
    with caplog.at_level(logging.WARNING, logger="koel_tui.session"):
        began = time.perf_counter()
        session.cancel()
        assert time.perf_counter() - began < 0.05
        async with asyncio.timeout(1):
            await sending
        await eventually(lambda: bool(caplog.records))
    cancelled = session.state
    free.set()
    await session.dispose()
    assert session.state is cancelled
    assert await collected(events) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert other_tasks() == set()


async def test_an_agent_that_stops_when_cancelled_causes_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = KoelClient(ScriptedAgent(say("Hel", gate=asyncio.Event()))).new_session()
    sending = asyncio.create_task(session.send("hi"))
    await eventually(lambda: bool(session.state.pending_messages))
    session.cancel()
    await sending
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * CANCEL_TIMEOUT, passed.set)
    await passed.wait()
    assert caplog.records == []


async def test_the_next_run_waits_until_the_agent_has_ended_the_last_run() -> None:
    running: list[str] = []

    async def careful(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        assert running == []
        running.append(run.run_id)
        try:
            yield begin(run)
            yield start("m")
            await asyncio.Event().wait()
        finally:
            for _ in range(20):  # the release takes a while
                await asyncio.sleep(0)
            running.remove(run.run_id)

    session = KoelClient(ScriptedAgent(careful)).new_session()
    for _ in range(3):
        sending = asyncio.create_task(session.send("hi"))
        await eventually(lambda: bool(session.state.pending_messages))
        session.cancel()
        await sending
    assert session.state.error is None


async def test_cancelling_the_caller_of_send_does_not_cancel_the_run() -> None:
    gate = asyncio.Event()
    session = KoelClient(ScriptedAgent(say("ok", gate=gate))).new_session()
    sending = asyncio.create_task(session.send("hi"))
    await eventually(lambda: bool(session.state.pending_messages))
    sending.cancel()
    gate.set()
    await eventually(lambda: session.state.phase is RunPhase.IDLE)
    assert said(session.state)[-1] == ("assistant", "ok")
