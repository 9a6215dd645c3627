"""Threads in an older schema: a schema 0 that only these tests define."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from koel_tui.protocol import encode_state
from koel_tui.storage import (
    DamagedThreadError,
    EncryptedFileStorage,
    JsonFileStorage,
    StorageError,
)
from koel_tui.storage.encryption.encrypted_codec import EncryptedCodec
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.migration import migrate
from koel_tui.storage.thread_record import decode_record
from tests.hostile_summary import Tally
from tests.storage.files.test_failing_system_calls import attempt
from tests.storage.helpers import Clock, encrypted, file_name, passphrase, saying


def from_zero(wire: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of schema 0: `about` is now `meta`, `lines` is now `messages`."""
    wire, state = dict(wire), dict(wire["state"])
    state["messages"] = state.pop("lines")
    wire["meta"] = wire.pop("about")
    return {**wire, "state": state}


MIGRATIONS = {0: from_zero}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Write the file of a thread in schema 0, and return its path."""
    state = json.loads(encode_state(saying("hi", "hello")))
    state["lines"] = state.pop("messages")
    path = tmp_path / file_name("t")
    wire = {"format": "koel-chat/thread", "schema": 0, "gen": 7, "id": "t", "theirs": 1}
    path.write_text(json.dumps({**wire, "about": {"title": "Old"}, "state": state}))
    return path


def store(path: Path) -> JsonFileStorage:
    return JsonFileStorage(path.parent, clock=Clock(), migrations=MIGRATIONS)


def backups(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.schema-0-*.json"))


async def test_an_older_thread_is_read_without_being_written(old: Path) -> None:
    before = old.read_bytes()
    storage = store(old)
    (summary,) = await storage.summaries()
    assert (summary.title, summary.messages) == ("Old", 2)
    assert await storage.load("t") == saying("hi", "hello")
    assert (await storage.meta("t"))["title"] == "Old"
    assert old.read_bytes() == before
    assert backups(old) == []


@pytest.mark.parametrize("write", ["save", "update_meta"])
async def test_the_first_write_of_an_older_thread_keeps_a_copy(
    old: Path, write: str, tally: Tally
) -> None:
    before = old.read_bytes()
    storage = store(old)
    await storage.load("t")
    for number in range(2):
        if write == "save":
            await storage.save("t", saying("hi", "hello", str(number)))
        else:
            await storage.update_meta("t", title=str(number))
    (backup,) = backups(old)
    assert backup.read_bytes() == before
    wire = json.loads(old.read_bytes())
    assert (wire["schema"], wire["gen"], wire["theirs"]) == (2, 9, 1)
    assert "about" not in wire and "lines" not in wire["state"]
    assert await JsonFileStorage(old.parent).load("t") is not None
    assert [found.id for found in await storage.summaries()] == ["t"]
    tally("other schema", tried=2)


async def test_an_older_thread_is_not_written_when_its_copy_fails(
    old: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    tally("other schema", tried=1)
    before = old.read_bytes()
    storage = store(old)
    await storage.load("t")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StorageError, match="No space left"):
            await storage.save("t", saying("new"))
    assert old.read_bytes() == before
    await storage.save("t", saying("new"))
    assert [backup.read_bytes() for backup in backups(old)] == [before]


async def test_a_migration_interrupted_at_any_call_is_repeated(old: Path, tally: Tally) -> None:
    before = old.read_bytes()
    for failing in range(1, 100):
        old.write_bytes(before)
        for backup in backups(old):
            backup.unlink()
        storage = store(old)
        await storage.load("t")
        failed, _ = await attempt(storage, saying("new"), failing, errno.EIO)
        again = store(old)
        assert await again.load("t") in (saying("hi", "hello"), saying("new")), failed
        await again.save("t", saying("newer"))
        assert await store(old).load("t") == saying("newer")
        assert [backup.read_bytes() for backup in backups(old)] == [before], failed
        if not failed:
            break
    tally("other schema", tried=failing)


async def test_a_deleted_thread_takes_its_backups_with_it(old: Path) -> None:
    storage = store(old)
    await storage.load("t")
    await storage.save("t", saying("new"))
    assert backups(old)
    await storage.delete("t")
    assert backups(old) == []


async def test_an_unknown_older_schema_is_reported_as_damaged(old: Path, tally: Tally) -> None:
    tally("other schema", tried=1)
    before = old.read_bytes()
    storage = JsonFileStorage(old.parent)
    assert await storage.load("t") is None
    (report,) = storage.damaged
    assert "schema 0" in report.reason
    with pytest.raises(DamagedThreadError):
        await storage.save("t", saying("new"))
    assert old.read_bytes() == before


async def test_a_damaged_older_thread_is_copied_to_quarantine(old: Path) -> None:
    wire = json.loads(old.read_bytes())
    del wire["about"]
    old.write_text(json.dumps(wire))
    storage = store(old)
    assert await storage.load("t") is None
    assert "not a thread of schema 0" in storage.damaged[0].reason


@pytest.mark.parametrize("schema", ["-1", "0.5", "1.0", '"1"', "null", "true", "1e999", "[]"])
def test_a_schema_that_is_not_a_natural_number_is_refused(schema: str, tally: Tally) -> None:
    tally("other schema", tried=1)
    text = f'{{"format":"koel-chat/thread","schema":{schema},"gen":1,"id":"t","state":{{}}}}'
    with pytest.raises(NotAThreadError):
        decode_record(text, MIGRATIONS)


def test_the_steps_are_taken_one_after_another_and_change_nothing_given() -> None:
    wire: dict[str, Any] = {"about": {}, "state": {"lines": []}}
    assert migrate(wire, 0, MIGRATIONS) == {"meta": {}, "state": {"messages": []}}
    assert wire == {"about": {}, "state": {"lines": []}}
    assert migrate(wire, 1, MIGRATIONS) is wire
    assert migrate(wire, 2, MIGRATIONS) is wire
    assert migrate(wire, 3, MIGRATIONS) is wire


async def test_an_encrypted_thread_in_an_older_schema_is_migrated(folder: Path) -> None:
    before = encrypted(folder)
    await before.save("t", saying("new"))
    (path,) = folder.glob("t-*.sealed")
    await before.close("t")
    codec = EncryptedCodec(folder, passphrase())
    stem = codec.stem("t")
    wire = json.loads(codec.decode(stem, path.read_bytes()))
    wire["state"]["lines"] = wire["state"].pop("messages")
    older = {**wire, "schema": 0, "about": {**wire.pop("meta"), "title": "Old"}}
    del older["meta"]
    path.write_bytes(codec.encode(stem, json.dumps(older).encode()))
    storage = EncryptedFileStorage(folder, key=passphrase(), migrations=MIGRATIONS)
    assert await storage.load("t") == saying("new")
    assert (await storage.meta("t"))["title"] == "Old"
