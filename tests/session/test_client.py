import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.session import ChatSession, KoelClient, SessionDisposedError, ThreadInUseError
from koel_tui.storage import MemoryStorage
from tests.session.helpers import (
    FailingStorage,
    ReleasingAgent,
    ScriptedAgent,
    SlowStorage,
    eventually,
    other_tasks,
    say,
    stubborn,
)


async def test_a_session_without_an_id_gets_a_uuid() -> None:
    client = KoelClient(ScriptedAgent(say("ok")))
    first, second = client.new_session(), client.new_session()
    assert first.thread_id != second.thread_id
    assert str(uuid.UUID(first.thread_id)) == first.thread_id


async def test_a_live_thread_gets_no_second_session() -> None:
    client = KoelClient(ScriptedAgent(say("ok")))
    session = client.new_session("thread-42")
    with pytest.raises(ThreadInUseError, match="thread-42"):
        client.new_session("thread-42")
    assert client.sessions == (session,)


async def test_a_thread_can_be_opened_again_right_after_dispose() -> None:
    storage = MemoryStorage()
    released: list[str] = []

    async def second(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        released.extend(agent.released)
        async for event in say("ok")(run):
            yield event

    agent = ReleasingAgent(say("Hel", gate=asyncio.Event()), second)
    client = KoelClient(agent, storage=storage)
    session = client.new_session("t")
    sending = asyncio.create_task(session.send("hi"))
    await eventually(lambda: bool(session.state.pending_messages))
    session.dispose()
    again = client.new_session("t", initial=session.state)
    assert client.sessions == (again,)
    await again.send("go on")
    await sending
    await again.dispose()
    assert (released, agent.released) == ([], ["t"]), "the context of the thread is kept for it"
    assert [message.content for message in agent.inputs[1].messages] == ["hi", "Hel", "go on"]
    assert await storage.load("t") == again.state


async def test_session_case_28_two_clients_do_not_affect_each_other() -> None:
    turns = [asyncio.Event() for _ in range(2)]

    async def talk(name: str, session_text: str) -> list[str]:
        async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
            for event in [event async for event in say(*name * 3)(run)]:
                yield event
                turns[name == "b"].set()
                await turns[name == "a"].wait()
                turns[name == "a"].clear()
            turns[name == "b"].set()

        session = KoelClient(ScriptedAgent(answer)).new_session("same")
        await session.send(session_text)
        await session.dispose()
        return [message.content for message in session.state.messages]

    async with asyncio.timeout(5):
        first, second = await asyncio.gather(talk("a", "one"), talk("b", "two"))
    assert (first, second) == (["one", "aaa"], ["two", "bbb"])


async def test_dispose_ends_every_session_saves_them_and_leaks_nothing() -> None:
    storage = MemoryStorage()
    client = KoelClient(ScriptedAgent(say("Hel", gate=asyncio.Event())), storage=storage)
    sessions = [client.new_session(name) for name in "abc"]
    sending = [asyncio.create_task(session.send("hi")) for session in sessions[:2]]
    await eventually(lambda: all(session.state.pending_messages for session in sessions[:2]))
    async with asyncio.timeout(2):
        await client.dispose()
        await client.dispose()
        await asyncio.gather(*sending)
    assert all(session.closed for session in sessions)
    assert client.sessions == ()
    assert sorted(await storage.list_threads()) == ["a", "b"]
    assert other_tasks() == set()
    with pytest.raises(SessionDisposedError):
        client.new_session()


async def test_dispose_takes_effect_at_the_call() -> None:
    client = KoelClient(ScriptedAgent(say("ok")))
    session = client.new_session()
    closing = client.dispose()
    with pytest.raises(SessionDisposedError):
        await session.send("hi")
    await closing


@pytest.mark.parametrize("whole_client", [True, False])
async def test_cancelling_dispose_does_not_stop_the_last_save(whole_client: bool) -> None:
    storage = SlowStorage()
    client = KoelClient(ScriptedAgent(say("Hel", gate=asyncio.Event())), storage=storage)
    session = client.new_session("t")
    sending = asyncio.create_task(session.send("hi"))
    await eventually(lambda: bool(session.state.pending_messages))
    owner: KoelClient | ChatSession = client if whole_client else session
    waiting = owner.dispose()
    await asyncio.sleep(0)
    waiting.cancel()
    await sending
    assert not session.closed
    storage.gate.set()
    await owner.dispose()
    assert session.closed
    assert await storage.load("t") == session.state


async def test_an_unsaved_session_is_available_after_dispose() -> None:
    storage = FailingStorage()
    client = KoelClient(ScriptedAgent(say("precious")), storage=storage)
    session, saved = client.new_session("t"), client.new_session("saved")
    await saved.send("hi")
    storage.broken = True
    await session.send("hi")
    await client.dispose()
    assert client.unsaved == (session,)
    assert session.state.messages[-1].content == "precious"


async def test_an_agent_that_never_ends_does_not_hang_dispose(
    caplog: pytest.LogCaptureFixture, free: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("koel_tui.session.run.STOP_TIMEOUT", 0.05)
    waiting = asyncio.Event()
    client = KoelClient(ScriptedAgent(stubborn(free, waiting)))
    session = client.new_session()
    sending = asyncio.create_task(session.send("hi"))
    await waiting.wait()
    async with asyncio.timeout(4):
        await client.dispose()
    await sending
    assert any("never ended" in record.message for record in caplog.records)
    free.set()
    await eventually(lambda: other_tasks() == set())
