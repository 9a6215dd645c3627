import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ag_ui.core import BaseEvent, CustomEvent, RunAgentInput

from koel_tui.agents import METRICS
from koel_tui.protocol import (
    ChatState,
    Message,
    OpenMessage,
    RunPhase,
)
from koel_tui.session import KoelClient, ReadOnlyThreadError
from koel_tui.storage import JsonFileStorage, MemoryStorage, StorageError
from tests.session.helpers import (
    FailingStorage,
    ReleasingAgent,
    ScriptedAgent,
    SlowStorage,
    begin,
    collected,
    eventually,
    finish,
    other_tasks,
    said,
    say,
)


async def test_session_case_26_persist_and_load_restore_an_equal_state() -> None:
    storage = MemoryStorage()
    client = KoelClient(ScriptedAgent(say("Hel", "lo")), storage=storage)
    session = client.new_session("thread-42")
    await session.send("hi")
    await session.persist()
    await session.dispose()
    saved = await storage.load("thread-42")
    resumed = client.new_session("thread-42", initial=saved)
    assert resumed.state == session.state
    await resumed.send("again")
    ids = [message.id for message in resumed.state.messages]
    assert len(set(ids)) == 4


async def test_a_state_that_was_saved_while_running_is_not_running_when_resumed() -> None:
    half = OpenMessage.of(Message("m", "assistant", "Hel"))
    running = ChatState(open_messages=(half,), phase=RunPhase.RUNNING)
    session = KoelClient(ScriptedAgent(say("ok"))).new_session(initial=running)
    assert session.state.phase is RunPhase.IDLE
    assert session.state.messages[0].interrupted


async def test_session_case_27_clear_leaves_nothing_behind() -> None:
    storage = MemoryStorage()
    gate = asyncio.Event()
    client = KoelClient(ScriptedAgent(say("ha", gate=gate)), storage=storage, save_interval=0)
    session = client.new_session("t")
    sending = asyncio.create_task(session.send("hi"))
    await eventually(lambda: bool(session.state.pending_messages))
    states = session.states()
    await session.clear()
    await sending
    assert session.state == ChatState()
    assert await anext(states) == ChatState()
    assert await storage.list_threads() == []
    await session.dispose()
    assert await storage.list_threads() == []


async def test_a_cleared_thread_can_be_used_again() -> None:
    storage = MemoryStorage()
    session = KoelClient(ScriptedAgent(say("ok")), storage=storage).new_session("t")
    await session.send("one")
    await session.clear()
    await session.send("two")
    loaded = await storage.load("t")
    assert loaded is not None
    assert said(loaded) == [("user", "two"), ("assistant", "ok")]


async def test_clear_that_cannot_delete_raises_and_leaves_an_empty_state() -> None:
    class Undeletable(MemoryStorage):
        async def delete(self, thread_id: str) -> None:
            raise StorageError("read-only")

    storage = Undeletable()
    session = KoelClient(ScriptedAgent(say("ok")), storage=storage).new_session("t")
    await session.send("secret")
    with pytest.raises(StorageError):
        await session.clear()
    assert session.state == ChatState() and session.dirty
    await session.dispose()
    assert await storage.load("t") == ChatState()


async def test_persist_without_a_storage_does_nothing() -> None:
    session = KoelClient(ScriptedAgent(say("ok"))).new_session()
    await session.persist()
    await session.send("hi")
    await session.clear()
    assert not session.dirty and session.save_error is None


async def test_persist_raises_the_error_of_the_storage() -> None:
    storage = FailingStorage()
    storage.broken = True
    session = KoelClient(ScriptedAgent(say("ok")), storage=storage).new_session()
    with pytest.raises(StorageError, match="full"):
        await session.persist()
    assert isinstance(session.save_error, StorageError)


async def test_a_failed_save_does_not_end_the_run_and_is_tried_again() -> None:
    storage = FailingStorage()
    storage.broken = True
    session = KoelClient(ScriptedAgent(say("ok")), storage=storage).new_session("t")
    await session.send("one")
    assert session.state.phase is RunPhase.IDLE and session.state.error is None
    assert session.dirty and isinstance(session.save_error, StorageError)
    storage.broken = False
    await session.send("two")
    assert not session.dirty and session.save_error is None
    assert await storage.load("t") == session.state


async def test_a_storage_that_hangs_does_not_hang_send() -> None:
    storage = SlowStorage()
    session = KoelClient(ScriptedAgent(say("ok")), storage=storage).new_session("t")
    async with asyncio.timeout(3):
        await session.send("hi")
    assert session.state.phase is RunPhase.IDLE and session.dirty
    storage.gate.set()
    await session.dispose()
    assert storage.most_waiting == 1
    assert await storage.load("t") == session.state


async def test_dispose_during_a_run_settles_send_saves_and_leaks_nothing() -> None:
    storage = MemoryStorage()
    agent = ReleasingAgent(say("Hel", gate=asyncio.Event()))
    session = KoelClient(agent, storage=storage).new_session("t")
    states = asyncio.create_task(collected(session.states()))
    events = asyncio.create_task(collected(session.events()))
    sending = asyncio.create_task(session.send("hi"))
    await eventually(lambda: bool(session.state.pending_messages))
    closing = session.dispose()
    assert session.state.phase is RunPhase.CANCELLED
    async with asyncio.timeout(1):
        await closing
        await sending
    await session.dispose()
    assert (await states)[-1] is session.state
    assert len(await events) >= 2
    assert await storage.load("t") == session.state
    assert agent.released == ["t"]
    assert other_tasks() == set()


class Half(MemoryStorage):
    """A storage that can only save."""

    async def close(self, thread_id: str) -> None:
        raise StorageError("The lock is gone.")

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        raise StorageError("read-only")


async def test_a_failed_save_of_figures_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def measured(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield CustomEvent(name=METRICS, value={"model": "M"})
        yield finish(run)

    storage = Half()
    session = KoelClient(ScriptedAgent(measured), storage=storage).new_session("t")
    await session.send("hi")
    with pytest.raises(StorageError):
        await session.describe(title="Words")
    await session.dispose()
    assert session.save_error is None and not session.dirty
    assert await storage.load("t") == session.state
    assert "['model'] was not saved: read-only" in caplog.text
    assert "Thread 't' was not unlocked" in caplog.text


async def test_an_untouched_session_is_not_saved() -> None:
    storage = MemoryStorage()
    client = KoelClient(ScriptedAgent(say("ok")), storage=storage)
    saved = ChatState(messages=(Message("u", "user", "hi"),))
    await client.new_session("t", initial=saved).dispose()
    assert await storage.list_threads() == []


async def test_a_thread_is_held_while_it_is_open_and_released_with_its_session(
    tmp_path: Path,
) -> None:
    here, elsewhere = JsonFileStorage(tmp_path), JsonFileStorage(tmp_path)
    session = KoelClient(ScriptedAgent(say("ok")), storage=here).new_session("t")
    await session.send("hi")
    other = KoelClient(ScriptedAgent(say("ok")), storage=elsewhere).new_session("t")
    access = await other.hold()
    assert access is not None and not access.writable and access.holder_pid == os.getpid()
    with pytest.raises(ReadOnlyThreadError, match="another koel-chat"):
        await other.send("me too")
    await session.dispose()
    await other.dispose()
    again = KoelClient(ScriptedAgent(say("ok")), storage=elsewhere).new_session("t")
    access = await again.hold()
    assert access is not None and access.writable
    await again.dispose()
