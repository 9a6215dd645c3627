"""Locks of threads: they are released after any error."""

from pathlib import Path

import pytest
from filelock import FileLock

from koel_tui.protocol import ChatState
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage, StorageError, encrypt_threads
from koel_tui.storage.files import thread_locks
from koel_tui.storage.files.thread_locks import ThreadLocks
from tests.session.helpers import ScriptedAgent, say
from tests.storage.helpers import passphrase, saying


def hold(directory: Path) -> list[str]:
    """Return the names of the lock files that a process has locked."""
    found = []
    for path in sorted((directory / "locks").glob("*.lock")):
        lock = FileLock(path, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except TimeoutError:
            found.append(path.name)
        else:
            lock.release()
    return found


async def test_b35_a_thread_that_was_open_while_the_others_were_encrypted_is_unlocked(
    tmp_path: Path,
) -> None:
    storage = JsonFileStorage(tmp_path)
    assert (await storage.open("new")).writable  # without a file no other process sees it
    encrypt_threads(tmp_path, passphrase())
    assert len(hold(tmp_path)) == 1
    await storage.close("new")
    assert hold(tmp_path) == []


async def test_b35_a_session_ends_without_a_lock_when_its_threads_are_encrypted_meanwhile(
    tmp_path: Path,
) -> None:
    client = KoelClient(ScriptedAgent(say("ok")), JsonFileStorage(tmp_path))
    session = client.new_session("t")
    await session.hold()
    encrypt_threads(tmp_path, passphrase())
    await session.send("hi")
    await client.dispose()
    assert session.dirty  # nothing is written unencrypted
    assert hold(tmp_path) == []


async def test_b35_opening_twice_and_closing_once_leaves_no_lock(tmp_path: Path) -> None:
    storage = JsonFileStorage(tmp_path)
    await storage.open("t")
    await storage.open("t")
    await storage.close("t")
    assert hold(tmp_path) == []


@pytest.mark.parametrize("words", ["", "pid"])
def test_b35_an_error_of_any_type_while_a_lock_is_signed_releases_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    kept = []  # a lock that is collected as garbage is released too, but at an unknown time

    def failing(lock: object, signed: str) -> None:
        kept.append(lock)
        if bool(signed) == bool(words):
            raise MemoryError

    monkeypatch.setattr(thread_locks, "_write_holder", failing)
    with pytest.raises(MemoryError), ThreadLocks(tmp_path).hold("t", "t"):
        pass
    monkeypatch.undo()
    assert kept
    assert hold(tmp_path) == []


async def test_b35_a_save_that_raises_any_error_releases_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = JsonFileStorage(tmp_path)
    await storage.save("t", saying("one"))

    def broken(*_: object) -> bytes:
        raise RuntimeError("broken")

    monkeypatch.setattr(storage.codec, "encode_parts", broken)
    with pytest.raises(RuntimeError):
        await storage.save("t", saying("two"))
    with pytest.raises(RuntimeError):
        await storage.save_conflict("t", saying("two"))
    with pytest.raises(RuntimeError):
        await storage.update_meta("t", title="x")
    assert hold(tmp_path) == []


async def test_b35_a_conversion_that_fails_halfway_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = JsonFileStorage(tmp_path)
    for name in "abc":
        await storage.save(name, saying(name))
    seals = 0

    def failing(path: Path, data: bytes) -> None:
        nonlocal seals
        seals += 1
        if seals > 1:
            raise RuntimeError("broken")
        path.write_bytes(data)

    monkeypatch.setattr("koel_tui.storage.encryption.conversion.write_atomically", failing)
    with pytest.raises(RuntimeError):
        encrypt_threads(tmp_path, passphrase())
    monkeypatch.undo()
    assert hold(tmp_path) == []
    assert encrypt_threads(tmp_path, passphrase()) >= 2
    assert hold(tmp_path) == []


async def test_b35_an_open_that_fails_leaves_no_lock(tmp_path: Path) -> None:
    storage = JsonFileStorage(tmp_path)
    await storage.save("t", ChatState())
    encrypt_threads(tmp_path, passphrase())
    with pytest.raises(StorageError):
        await storage.open("t")
    await storage.close("t")
    assert hold(tmp_path) == []
