"""Threads in JSON files: format, permissions, foreign and damaged files."""

import asyncio
import json
import os
import shutil
import stat
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from koel_tui.paths import DirectoryError, threads_dir
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import (
    DamagedThreadError,
    FutureSchemaError,
    JsonFileStorage,
    StorageError,
)
from tests.hostile_summary import Tally
from tests.protocol.golden import GOLDEN
from tests.storage.helpers import file_name, saying

GOOD = f'{{"format":"koel-chat/thread","schema":1,"gen":1,"id":"bad","meta":{{}},"state":{GOLDEN}}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "threads"


@pytest.fixture
def store(folder: Path) -> JsonFileStorage:
    return JsonFileStorage(folder)


def wire(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def files(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.exists() else []
    return [path for path in found if path.name != "locks"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**wire(path), **changes}))


async def test_a_thread_file_has_the_documented_name_and_format(
    store: JsonFileStorage, folder: Path
) -> None:
    await store.save("t", ChatState(messages=(Message("u", "user", "hé"),)))
    await store.save("t", saying("hé"))
    (path,) = files(folder)
    assert path.name == "t-e3b98a4da31a127d4bde6e43033f66ba.json"
    data = path.read_bytes()
    assert data.isascii() and b"\n" not in data
    content = json.loads(data)
    assert list(content) == ["format", "schema", "gen", "id", "summary", "meta", "state"]
    assert (content["format"], content["schema"]) == ("koel-chat/thread", 2)
    assert (content["gen"], content["id"]) == (2, "t")
    assert set(content["meta"]) == {"created", "updated"}


async def test_storage_case_01_a_golden_file_keeps_its_state_byte_for_byte(
    store: JsonFileStorage, folder: Path
) -> None:
    await store.save("t", ChatState())
    path = folder / file_name("t")
    path.write_text(GOOD.replace('"id":"bad"', '"id":"t"'))
    await store.update_meta("t", title="x")
    assert path.read_text().endswith(f'"state":{GOLDEN}}}')
    assert wire(path)["gen"] == 2


async def test_everything_is_private(store: JsonFileStorage, folder: Path) -> None:
    old = os.umask(0)
    try:
        await store.save("t", saying("hi"))
    finally:
        os.umask(old)
    assert mode(folder) == 0o700
    assert mode(folder / file_name("t")) == 0o600


async def test_creating_a_storage_writes_no_file(folder: Path) -> None:
    JsonFileStorage(folder)
    assert files(folder.parent) == []


async def test_no_file_is_read_or_written_on_the_event_loops_thread(
    store: JsonFileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    real = os.open

    def watched(*arguments: Any, **named: Any) -> int:
        threads.add(threading.get_ident())
        return real(*arguments, **named)

    monkeypatch.setattr(os, "open", watched)
    await store.save("t", saying("hi"))
    await store.load("t")
    await store.summaries()
    await store.delete("t")
    assert threads and threading.get_ident() not in threads


async def test_unknown_keys_of_the_file_are_kept(store: JsonFileStorage, folder: Path) -> None:
    await store.save("t", saying("hi"))
    path = folder / file_name("t")
    rewrite(path, theirs={"a": [1]})
    await store.load("t")
    await store.save("t", saying("hi", "hello"))
    await store.update_meta("t", title="x")
    assert wire(path)["theirs"] == {"a": [1]}
    assert wire(path)["gen"] == 3


async def test_storage_case_07_foreign_files_are_left_alone(
    store: JsonFileStorage, folder: Path, tmp_path: Path
) -> None:
    await store.save("mine", saying("hi"))
    outside = tmp_path / "outside.json"
    outside.write_bytes((folder / file_name("mine")).read_bytes())
    foreign = {
        "notes.txt": b"notes",
        "t-short.json": b"{}",
        "t-e3b98a4da31a127d4bde6e43033f66ba.json.bak": b"{}",
        ".t-e3b98a4da31a127d4bde6e43033f66ba.json.swp": b"x",
        ".hidden.tmp": b"x",
    }
    for name, data in foreign.items():
        (folder / name).write_bytes(data)
    (folder / file_name("link")).symlink_to(outside)
    (folder / file_name("folder")).mkdir()
    again = JsonFileStorage(folder)
    assert await again.list_threads() == ["mine"]
    assert again.damaged == ()
    await again.delete("mine")
    assert {name: (folder / name).read_bytes() for name in foreign} == foreign
    assert (folder / file_name("link")).is_symlink()
    assert (folder / file_name("folder")).is_dir()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
async def test_a_path_that_is_not_a_regular_file_is_neither_followed_nor_replaced(
    store: JsonFileStorage, folder: Path, tmp_path: Path, kind: str, tally: Tally
) -> None:
    await store.save("other", saying("hi"))
    path = folder / file_name("t")
    target = tmp_path / "target.json"
    target.write_text("precious")
    if kind == "link":
        path.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = path.lstat()
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: store.load("t"),
        lambda: store.save("t", saying("hi")),
        lambda: store.delete("t"),
        lambda: store.update_meta("t", title="x"),
    ]
    for use in uses:
        with pytest.raises(StorageError, match="not a regular file"):
            await use()
    assert path.lstat().st_ino == before.st_ino
    assert target.read_text() == "precious"
    assert await store.list_threads() == ["other"]
    tally("foreign files", tried=1)


DAMAGE = {
    "empty": b"",
    "truncated": GOOD.encode()[:-40],
    "not utf-8": GOOD.encode().replace(b"weather", b"we\xff\xfeher"),
    "a list": b"[]",
    "null": b"null",
    "zeros": b"\0" * 500,
    "too deep": b"[" * 200_000,
    "a huge number": b'{"format":' + b"9" * 5000 + b"}",
    "another format": GOOD.replace("koel-chat/thread", "other").encode(),
    "no schema": GOOD.replace('"schema":1,', "").encode(),
    "a true schema": GOOD.replace('"schema":1', '"schema":true').encode(),
    "another id": GOOD.replace('"id":"bad"', '"id":"good"').encode(),
    "a list as meta": GOOD.replace('"meta":{}', '"meta":[]').encode(),
    "no state": GOOD.replace('"state"', '"statt"').encode(),
    "a wrong type in a message": GOOD.replace('"content":"What', '"content":3,"x":"What').encode(),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_file_is_quarantined_reported_once_and_never_overwritten(
    store: JsonFileStorage, folder: Path, damage: str, tally: Tally
) -> None:
    await store.save("good", saying("hi"))
    path = folder / file_name("bad")
    path.write_bytes(DAMAGE[damage])

    for storage in (store, JsonFileStorage(folder)):
        for _ in range(2):
            await storage.list_threads()
            assert await storage.load("bad") is None
        assert await storage.load("good") == saying("hi")
        (report,) = storage.damaged
        assert report.path == path and report.reason
        assert report.copy is not None
        assert report.copy.parent == folder / "quarantine"
        assert report.copy.read_bytes() == DAMAGE[damage]
        assert mode(report.copy) == 0o600
        assert await storage.list_threads() == ["good"]
        for use in (storage.save("bad", saying("new")), storage.update_meta("bad", title="x")):
            with pytest.raises(DamagedThreadError, match="bad"):
                await use
    assert path.read_bytes() == DAMAGE[damage]
    assert len(list((folder / "quarantine").iterdir())) == 1
    tally("damaged thread file", tried=1)


async def test_a_damaged_thread_can_be_deleted_and_its_copy_stays(
    store: JsonFileStorage, folder: Path
) -> None:
    await store.save("bad", saying("hi"))
    (folder / file_name("bad")).write_bytes(b"[]")
    assert await store.load("bad") is None
    await store.delete("bad")
    assert store.damaged == ()
    await store.save("bad", saying("again"))
    assert await store.load("bad") == saying("again")
    (copy,) = (folder / "quarantine").iterdir()
    assert copy.read_bytes() == b"[]"


async def test_a_restored_file_is_no_longer_reported(store: JsonFileStorage, folder: Path) -> None:
    await store.save("t", saying("hi"))
    path = folder / file_name("t")
    good = path.read_bytes()
    path.write_bytes(b"[]")
    assert await store.list_threads() == []
    path.write_bytes(good)
    assert await store.load("t") == saying("hi")
    assert store.damaged == ()


async def test_a_damaged_file_that_cannot_be_copied_is_reported_without_a_copy(
    store: JsonFileStorage, folder: Path
) -> None:
    await store.save("t", saying("hi"))
    (folder / "quarantine").write_text("in the way")
    (folder / file_name("t")).write_bytes(b"[]")
    assert await store.list_threads() == []
    (report,) = store.damaged
    assert report.copy is None
    assert (folder / "quarantine").read_text() == "in the way"


async def test_a_future_schema_is_listed_and_loaded_and_never_written(
    store: JsonFileStorage, folder: Path, tally: Tally
) -> None:
    tally("other schema", tried=1)
    await store.save("t", saying("hi"))
    path = folder / file_name("t")
    rewrite(path, schema=3)
    before = path.read_bytes()
    assert await store.list_threads() == ["t"]
    assert await store.load("t") == saying("hi")
    assert (await store.meta("t"))["created"]
    for use in (store.save("t", saying("x")), store.update_meta("t", title="x")):
        with pytest.raises(FutureSchemaError, match="newer"):
            await use
    assert path.read_bytes() == before
    assert store.damaged == ()


async def test_an_unreadable_future_schema_is_not_reported_as_damaged(
    store: JsonFileStorage, folder: Path, tally: Tally
) -> None:
    tally("other schema", tried=1)
    await store.save("t", saying("hi"))
    path = folder / file_name("t")
    rewrite(path, schema=3, state={"messages": {"by": "id"}})
    assert await store.list_threads() == ["t"]
    with pytest.raises(FutureSchemaError):
        await store.load("t")
    with pytest.raises(FutureSchemaError):
        await store.save("t", saying("x"))
    assert store.damaged == ()


async def test_saves_of_one_thread_never_swap_even_when_a_caller_is_cancelled(
    store: JsonFileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, release = threading.Event(), threading.Event()
    real = os.fsync

    def slow(descriptor: int) -> None:
        if not held.is_set():
            held.set()
            release.wait(5)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    first = asyncio.create_task(store.save("t", saying("old")))
    await asyncio.to_thread(held.wait, 5)
    first.cancel()
    second = asyncio.create_task(store.save("t", saying("new")))
    loading = asyncio.create_task(store.load("t"))
    await asyncio.sleep(0)
    release.set()
    await second
    assert await loading == saying("new")
    assert await store.load("t") == saying("new")
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failed_save_is_a_typed_error_with_the_reason(
    store: JsonFileStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.save("t", saying("hi"))

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StorageError, match="No space left on device"):
            await store.save("t", saying("hi", "hello"))
    assert [path.name for path in files(folder)] == [file_name("t")]
    assert await store.load("t") == saying("hi")
    await store.save("t", saying("hi", "hello"))
    assert await store.load("t") == saying("hi", "hello")


async def test_a_directory_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = JsonFileStorage(tmp_path / "file" / "threads")
    with pytest.raises(DirectoryError):
        await store.save("t", saying("hi"))
    with pytest.raises(DirectoryError):
        await store.summaries()


async def test_a_directory_that_was_removed_is_made_again(
    store: JsonFileStorage, folder: Path
) -> None:
    await store.save("t", saying("hi"))
    shutil.rmtree(folder)
    await store.save("t", saying("hi"))
    assert await store.load("t") == saying("hi")


async def test_left_over_temporary_files_are_swept_at_the_start(
    store: JsonFileStorage, folder: Path
) -> None:
    await store.save("t", saying("hi"))
    left_over = folder / f".{file_name('t')}.{'0' * 16}.tmp"
    left_over.write_text("half")
    again = JsonFileStorage(folder)
    assert await again.list_threads() == ["t"]
    assert not left_over.exists()


async def test_a_list_notices_the_changes_of_other_programs(
    store: JsonFileStorage, folder: Path
) -> None:
    await store.save("t", saying("before"))
    assert [summary.title for summary in await store.summaries()] == ["before"]
    other = JsonFileStorage(folder)
    await other.load("t")
    await other.save("t", saying("after"))
    await other.save("u", saying("new"))
    assert sorted(summary.title for summary in await store.summaries()) == ["after", "new"]
    await other.delete("t")
    assert [summary.title for summary in await store.summaries()] == ["new"]


async def test_without_a_directory_threads_are_where_the_user_keeps_them() -> None:
    await JsonFileStorage().save("t", ChatState())
    assert JsonFileStorage().directory == threads_dir()
    assert await JsonFileStorage(threads_dir()).list_threads() == ["t"]
