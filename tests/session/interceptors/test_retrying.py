"""Failed saves are retried automatically by the session that owns the thread."""

from pathlib import Path

import pytest

from koel_tui.protocol import ChatState
from koel_tui.session import ChatSession, KoelClient, autosave
from koel_tui.storage import Access, JsonFileStorage, StorageError
from tests.hostile_summary import Tally
from tests.session.helpers import FailingStorage, ScriptedAgent, eventually, say


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autosave, "RETRY_S", 0.01)


@pytest.fixture
def storage() -> FailingStorage:
    broken = FailingStorage()
    broken.broken = True
    return broken


def client(storage: FailingStorage | JsonFileStorage) -> KoelClient:
    return KoelClient(ScriptedAgent(say("ok")), storage=storage, save_interval=0)


async def unsaved_session(owner: KoelClient) -> ChatSession:
    """Return a session that was closed before its messages could be saved."""
    session = owner.new_session("t")
    await session.send("hi")
    await session.dispose()
    assert owner.unsaved == (session,)
    return session


async def test_a_failed_save_is_retried_until_it_works(
    storage: FailingStorage, tally: Tally
) -> None:
    session = client(storage).new_session("t")
    await session.send("hi")
    tried = storage.attempts
    await eventually(lambda: storage.attempts > tried + 2)
    assert session.dirty and session.save_error is not None
    storage.broken = False
    await eventually(lambda: not session.dirty)
    assert session.save_error is None
    assert await storage.load("t") == session.state
    tally("unusable directory", tried=1)
    done = storage.attempts
    await session.dispose()
    assert storage.attempts == done
    tally("full disk", tried=1)


class Locked(FailingStorage):
    async def open(self, thread_id: str) -> Access:
        self.attempts += 1
        if self.broken:
            raise StorageError("The directory cannot be used. Check its permissions.")
        return await super().open(thread_id)


async def test_a_thread_that_cannot_be_opened_is_reported_and_retried(
    tally: Tally,
) -> None:
    storage = Locked()
    storage.broken = True
    session = client(storage).new_session("t")
    await session.send("hi")
    assert session.dirty and isinstance(session.save_error, StorageError)
    tried = storage.attempts
    await eventually(lambda: storage.attempts > tried + 1)
    storage.broken = False
    await eventually(lambda: not session.dirty)
    assert session.save_error is None
    assert await storage.load("t") == session.state


class FullFiles(JsonFileStorage):
    full = True

    async def save(self, thread_id: str, state: ChatState) -> None:
        if self.full:
            raise StorageError("The disk is full. Make room.")
        await super().save(thread_id, state)


async def test_a_closed_thread_is_saved_later_and_is_not_locked_afterwards(
    tmp_path: Path, tally: Tally
) -> None:
    files, other = FullFiles(tmp_path), JsonFileStorage(tmp_path)
    owner = client(files)
    session = await unsaved_session(owner)
    assert (await other.open("t")).writable
    await other.close("t")
    files.full = False
    await eventually(lambda: not session.dirty)
    assert owner.unsaved == ()
    assert await other.load("t") == session.state
    assert (await other.open("t")).writable
    tally("full disk", tried=1)


async def test_a_reopened_thread_takes_over_the_unsaved_state(
    storage: FailingStorage, tally: Tally
) -> None:
    owner = client(storage)
    first = await unsaved_session(owner)
    again = owner.new_session("t", first.state)
    assert again.dirty and not first.dirty and owner.unsaved == ()
    storage.broken = False
    await eventually(lambda: not again.dirty)
    assert await storage.load("t") == again.state
    tally("full disk", tried=1)


async def test_a_deleted_thread_is_not_saved_again(storage: FailingStorage) -> None:
    owner = client(storage)
    await unsaved_session(owner)
    owner.forget("t")
    tried, storage.broken = storage.attempts, False
    assert owner.unsaved == ()
    other = owner.new_session("other")
    await other.send("hi")
    await eventually(lambda: not other.dirty)
    assert await storage.list_threads() == ["other"]
    assert storage.attempts > tried


async def test_a_metadata_update_does_not_end_the_retries_of_a_save(
    storage: FailingStorage,
) -> None:
    session = client(storage).new_session("t")
    await session.send("hi")
    for _ in range(5):
        await session.describe(title="Hi")
        await session.hold()
    storage.broken = False
    await eventually(lambda: not session.dirty)
    assert await storage.load("t") == session.state
    await session.dispose()
