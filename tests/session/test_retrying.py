"""Saves that fail: tried again by themselves, by whoever has the thread."""

from pathlib import Path

import pytest

from koel_tui.protocol import ChatState
from koel_tui.session import KoelClient, autosave
from koel_tui.storage import JsonFileStorage, StorageError
from tests.session.helpers import FailingStorage, ScriptedAgent, eventually, say
from tests.tally import Tally


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autosave, "RETRY_S", 0.01)


def client(storage: FailingStorage | JsonFileStorage) -> KoelClient:
    return KoelClient(ScriptedAgent(say("ok")), storage=storage, save_interval=0)


async def test_fault_f4_a_failed_save_is_tried_again_until_it_works(tally: Tally) -> None:
    storage = FailingStorage()
    storage.broken = True
    session = client(storage).new_session("t")
    await session.send("hi")
    tried = storage.attempts
    await eventually(lambda: storage.attempts > tried + 2)
    assert session.dirty and session.save_error is not None
    storage.broken = False
    await eventually(lambda: not session.dirty)
    assert session.save_error is None
    assert await storage.load("t") == session.state
    done = storage.attempts
    await session.dispose()
    assert storage.attempts == done
    tally("F4", tried=1)


class FullFiles(JsonFileStorage):
    full = True

    async def save(self, thread_id: str, state: ChatState) -> None:
        if self.full:
            raise StorageError("The disk is full. Make room.")
        await super().save(thread_id, state)


async def test_fault_f4_a_closed_thread_is_saved_later_and_held_only_meanwhile(
    tmp_path: Path, tally: Tally
) -> None:
    storage, other = FullFiles(tmp_path), JsonFileStorage(tmp_path)
    owner = client(storage)
    session = owner.new_session("t")
    await session.send("hi")
    await session.dispose()
    assert [each.thread_id for each in owner.unsaved] == ["t"]
    assert (await other.open("t")).writable
    await other.close("t")
    storage.full = False
    await eventually(lambda: not session.dirty)
    assert owner.unsaved == ()
    assert await other.load("t") == session.state
    assert (await other.open("t")).writable
    tally("F4", tried=1)


async def test_fault_f4_a_thread_opened_again_takes_over_what_was_not_saved(tally: Tally) -> None:
    storage = FailingStorage()
    storage.broken = True
    owner = client(storage)
    first = owner.new_session("t")
    await first.send("hi")
    await first.dispose()
    again = owner.new_session("t", first.state)
    assert again.dirty and not first.dirty and owner.unsaved == ()
    storage.broken = False
    await eventually(lambda: not again.dirty)
    assert await storage.load("t") == again.state
    tally("F4", tried=1)


async def test_a_deleted_thread_is_not_saved_again() -> None:
    storage = FailingStorage()
    storage.broken = True
    owner = client(storage)
    session = owner.new_session("t")
    await session.send("hi")
    await session.dispose()
    owner.forget("t")
    tried, storage.broken = storage.attempts, False
    assert owner.unsaved == ()
    other = owner.new_session("other")
    await other.send("hi")
    await eventually(lambda: not other.dirty)
    assert await storage.list_threads() == ["other"]
    assert storage.attempts > tried
