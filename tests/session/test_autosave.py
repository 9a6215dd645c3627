import asyncio
from collections.abc import AsyncIterator

import pytest
from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.protocol import ChatState, Message
from koel_tui.session import KoelClient, autosave
from koel_tui.session.autosave import Autosave
from koel_tui.storage import MemoryStorage
from tests.session.helpers import (
    FailingStorage,
    ScriptedAgent,
    SlowStorage,
    begin,
    content,
    end,
    eventually,
    finish,
    other_tasks,
    say,
    start,
)


class Thread:
    """The newest state of a thread, and its autosave."""

    def __init__(self, storage: MemoryStorage | None, interval: float = 3600) -> None:
        self.state = ChatState()
        self.autosave = Autosave("t", storage, lambda: self.state, interval=interval)

    def say(self, text: str) -> None:
        self.state = ChatState(messages=(*self.state.messages, Message(text, "user", text)))
        self.autosave.mark_changed()


async def test_saves_are_throttled_while_text_streams() -> None:
    storage = FailingStorage()

    async def long(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield start("m")
        for _ in range(300):
            yield content("m", "word ")
        yield end("m")
        yield finish(run)

    client = KoelClient(ScriptedAgent(long), storage=storage, save_interval=3600)
    session = client.new_session("t")
    await session.send("hi")
    assert storage.attempts == 2  # the user's message, and the end of the turn
    assert not session.dirty


async def test_storage_case_05_the_text_so_far_is_saved_while_it_streams() -> None:
    storage = MemoryStorage()
    gate = asyncio.Event()
    client = KoelClient(ScriptedAgent(say("Hel", gate=gate)), storage=storage, save_interval=0.01)
    session = client.new_session("t")
    sending = asyncio.create_task(session.send("hi"))
    await eventually(lambda: bool(session.state.pending_messages))
    await eventually(lambda: not session.dirty)
    loaded = await storage.load("t")
    assert loaded is not None
    said = [(message.content, message.interrupted) for message in loaded.messages]
    assert said == [("hi", False), ("Hel", True)]
    gate.set()
    await sending
    assert await storage.load("t") == session.state


async def test_a_user_message_is_saved_before_the_answer_comes() -> None:
    storage = MemoryStorage()
    gate = asyncio.Event()

    async def late(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        await gate.wait()
        yield begin(run)
        yield finish(run)

    client = KoelClient(ScriptedAgent(late), storage=storage, save_interval=3600)
    session = client.new_session("t")
    sending = asyncio.create_task(session.send("hi"))
    await eventually(lambda: session.state.messages != () and not session.dirty)
    assert await storage.list_threads() == ["t"]
    gate.set()
    await sending


async def test_one_write_at_a_time_and_the_newest_state_wins() -> None:
    storage = SlowStorage()
    thread = Thread(storage)
    waiting = []
    for text in "abc":
        thread.say(text)
        waiting.append(thread.autosave.save_now())
    storage.gate.set()
    await asyncio.gather(*waiting)
    assert storage.most_waiting == 1
    assert await storage.load("t") == thread.state
    assert not thread.autosave.dirty


async def test_changes_during_a_write_are_saved_without_another_call() -> None:
    storage = SlowStorage()
    thread = Thread(storage, interval=0)
    thread.say("a")
    saving = thread.autosave.save_now()
    await eventually(lambda: storage.waiting == 1)
    thread.say("b")
    storage.gate.set()
    await saving
    await eventually(lambda: not thread.autosave.dirty)
    assert await storage.load("t") == thread.state
    await eventually(lambda: other_tasks() == set())


async def test_saves_do_not_pile_up_behind_a_slow_write() -> None:
    storage = SlowStorage()
    thread = Thread(storage, interval=0)
    thread.say("first")
    thread.autosave.save_soon()
    await eventually(lambda: storage.waiting == 1)
    for number in range(20):
        thread.say(str(number))
        thread.autosave.save_soon()
        await asyncio.sleep(0.001)  # lets the timer expire while the write still waits
    assert len(other_tasks()) == 1
    storage.gate.set()
    await eventually(lambda: not thread.autosave.dirty)
    assert await storage.load("t") == thread.state


async def test_a_failed_write_waits_for_the_next_save_point() -> None:
    storage = FailingStorage()
    storage.broken = True
    thread = Thread(storage, interval=0)
    thread.say("a")
    await thread.autosave.save_now()
    assert thread.autosave.error is not None and thread.autosave.dirty
    assert other_tasks() == set()
    storage.broken = False
    thread.autosave.save_soon()
    await eventually(lambda: not thread.autosave.dirty)
    assert thread.autosave.error is None
    assert storage.attempts == 2


async def test_a_clean_thread_is_not_written() -> None:
    storage = FailingStorage()
    thread = Thread(storage)
    await thread.autosave.save_now()
    thread.autosave.save_soon()
    assert storage.attempts == 0
    await thread.autosave.persist()
    assert storage.attempts == 1


async def test_a_delete_waits_for_the_running_write_and_nothing_is_saved_after_it() -> None:
    storage = SlowStorage()
    thread = Thread(storage, interval=0)
    thread.say("a")
    saving = thread.autosave.save_now()
    await eventually(lambda: storage.waiting == 1)
    thread.state = ChatState()
    thread.autosave.mark_changed()
    forgetting = asyncio.create_task(thread.autosave.delete())
    storage.gate.set()
    await saving
    await forgetting
    assert await storage.list_threads() == []
    assert not thread.autosave.dirty
    assert other_tasks() == set()


async def test_without_a_storage_nothing_is_ever_dirty() -> None:
    thread = Thread(None)
    thread.say("a")
    await thread.autosave.save_now()
    await thread.autosave.persist()
    await thread.autosave.delete()
    assert not thread.autosave.dirty


@pytest.mark.parametrize("timeout_s", [0.0, 0.01])
async def test_waiting_for_a_slow_write_ends(timeout_s: float) -> None:
    storage = SlowStorage()
    thread = Thread(storage)
    await thread.autosave.wait_saved(timeout_s)
    thread.say("a")
    saving = thread.autosave.save_now()
    await thread.autosave.wait_saved(timeout_s)
    assert thread.autosave.dirty
    storage.gate.set()
    await saving


async def test_a_change_after_a_failed_write_does_not_wait_for_the_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(autosave, "RETRY_S", 3600)
    storage = FailingStorage()
    storage.broken = True
    thread = Thread(storage, interval=0)
    thread.say("a")
    await thread.autosave.save_now()
    storage.broken = False
    thread.say("b")
    thread.autosave.save_soon()
    await eventually(lambda: not thread.autosave.dirty)
    assert await storage.load("t") == thread.state


async def test_a_failed_write_is_not_tried_again_before_its_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(autosave, "RETRY_S", 3600)
    storage = FailingStorage()
    storage.broken = True
    thread = Thread(storage, interval=0)
    thread.say("a")
    await thread.autosave.save_now()
    for _ in range(50):
        await asyncio.sleep(0)
    assert storage.attempts == 1
    await thread.autosave.save_now()
    assert storage.attempts == 2
    assert len(caplog.records) == 1, "the same failure is logged once"


async def test_a_metadata_update_does_not_postpone_a_save(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(autosave, "RETRY_S", 3600)
    storage = FailingStorage()
    storage.broken = True
    thread = Thread(storage, interval=0.05)
    thread.say("a")
    await thread.autosave.save_now()
    storage.broken = False
    thread.autosave.save_soon()
    await thread.autosave.update_metadata({"title": "Hi"})
    await eventually(lambda: not thread.autosave.dirty)


async def test_saves_announces_success_failure_and_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autosave, "RETRY_S", 0.01)
    storage = FailingStorage()
    client = KoelClient(ScriptedAgent(say("Hello")), storage=storage, save_interval=0)
    session = client.new_session("t")
    saves, errors = client.saves(), []

    async def watch() -> None:
        async for _ in saves:
            errors.append(session.save_error)

    watching = asyncio.create_task(watch())
    await session.send("hi")
    await eventually(lambda: bool(errors) and errors[-1] is None and not session.dirty)
    storage.broken = True
    session.update_state({"key": 1})
    await eventually(lambda: errors[-1] is not None)
    session.dispose()
    storage.broken = False  # the disposed session retries without a call
    await eventually(lambda: errors[-1] is None and not session.dirty)
    watching.cancel()


async def test_abandoning_a_failed_save_is_announced() -> None:
    storage = FailingStorage()
    storage.broken = True
    client = KoelClient(ScriptedAgent(say("Hello")), storage=storage)
    session = client.new_session("t")
    session.update_state({"key": 1})
    await session.dispose()
    saves = client.saves()
    client.forget("t")
    await asyncio.wait_for(anext(saves), 5)
    assert not client.unsaved
