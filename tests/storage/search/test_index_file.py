"""The file of the search index: permissions, rebuilds, unusable caches, and removal."""

import asyncio
import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from koel_tui.storage import JsonFileStorage, encrypt_threads
from koel_tui.storage.errors import EncryptedThreadsError
from koel_tui.storage.search.connection import connect
from koel_tui.storage.search.database import _SAME_QUERY
from koel_tui.storage.search.thread_index import ThreadIndex, index_file
from tests.storage.helpers import encrypted, passphrase, saying


async def test_only_the_owner_can_read_the_index(
    store: JsonFileStorage, index: ThreadIndex, tmp_path: Path
) -> None:
    await store.save("t", saying("owl"))
    old = os.umask(0)
    try:
        await index.search("owl")
    finally:
        os.umask(old)
    cache = tmp_path / "cache"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    await index.close()
    index_file(cache, tmp_path / "threads").chmod(0o644)
    await index.search("owl")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_report_40_a_short_word_is_looked_up_without_a_scan_of_all_words(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "index.sqlite")) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {_SAME_QUERY}", ["of", 2, "of", 9])
        steps = [detail for *_, detail in plan]
    assert len(steps) == 1 and steps[0].startswith("SEARCH words USING"), steps


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def scribble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)


def other_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def other_tables(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE said")
    connection.close()


def odd_rows(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE threads SET signature = 'no'")
    connection.close()


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b"this is no database" * 100),
        lambda path: path.write_bytes(b""),
        truncate,
        scribble,
        other_version,
        other_tables,
        odd_rows,
    ],
)  # fmt: skip
async def test_a_damaged_index_is_rebuilt(
    store: JsonFileStorage, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    for number in range(40):
        await store.save(str(number), saying("owl " * 200))
    first = ThreadIndex(store, tmp_path / "cache")
    await first.search("owl")
    await first.close()
    harm(index_file(tmp_path / "cache", tmp_path / "threads"))
    again = ThreadIndex(store, tmp_path / "cache")
    assert len(await again.search("owl", limit=100)) == 40
    await again.close()


async def test_an_index_that_is_a_link_is_not_followed(
    store: JsonFileStorage, index: ThreadIndex, tmp_path: Path
) -> None:
    await store.save("t", saying("owl"))
    precious = tmp_path / "precious"
    precious.touch()
    (tmp_path / "cache").mkdir()
    index_file(tmp_path / "cache", tmp_path / "threads").symlink_to(precious)
    assert len(await index.search("owl")) == 1
    assert precious.read_bytes() == b""


async def test_report_25_a_cache_directory_that_cannot_be_used_is_named_and_the_search_works(
    store: JsonFileStorage, tmp_path: Path
) -> None:
    await store.save("t", saying("owl"))
    place = index_file(tmp_path / "cache", tmp_path / "threads")
    (place / "in the way").mkdir(parents=True)
    index = ThreadIndex(store, tmp_path / "cache")
    assert len(await index.search("owl")) == len(await index.find("owl")) == 1
    assert str(place) in index.problem and "XDG_CACHE_HOME" in index.problem


async def test_report_25_a_cache_that_is_a_file_does_not_stop_the_search(
    store: JsonFileStorage, tmp_path: Path
) -> None:
    """A read-only home directory has the same effect."""
    await store.save("t", saying("owl"))
    (tmp_path / "cache").touch()
    index = ThreadIndex(store, tmp_path / "cache")
    found = await asyncio.gather(*(index.search("owl") for _ in range(3)), index.find("owl"))
    assert [len(hits) for hits in found] == [1] * 4 and index.problem


def failing_statement(
    monkeypatch: pytest.MonkeyPatch, begin: str, code: int, message: str
) -> list[str]:
    """Make statements that start with `begin` fail; return a list that records each attempt."""
    tried: list[str] = []
    real = sqlite3.connect

    class Failing(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            if self.path != ":memory:" and statement.startswith(begin):
                tried.append(statement)
                error = sqlite3.OperationalError(message)
                error.sqlite_errorcode = code
                raise error
            return super().execute(statement, *parameters)

        path = ""

    def connect(path: str | Path, **options: Any) -> Failing:
        connection = real(path, factory=Failing, **options)
        connection.path = str(path)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    return tried


NETWORK_ERRORS = [
    (sqlite3.SQLITE_PROTOCOL, "locking protocol"),
    (sqlite3.SQLITE_IOERR_SHMMAP, "disk I/O error"),
    (sqlite3.SQLITE_CANTOPEN, "unable to open database file"),
]


@pytest.mark.parametrize(("code", "message"), NETWORK_ERRORS)
async def test_report_25_an_index_without_a_write_ahead_log_is_kept(
    store: JsonFileStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    await store.save("t", saying("owl"))
    tried = failing_statement(monkeypatch, "PRAGMA journal_mode = WAL", code, message)
    index = ThreadIndex(store, tmp_path / "cache")
    assert len(await index.search("owl")) == 1 and not index.problem
    await index.close()
    file = index_file(tmp_path / "cache", tmp_path / "threads")
    inode = file.stat().st_ino
    again = ThreadIndex(store, tmp_path / "cache")
    assert len(await again.search("owl")) == 1 and not again.problem
    assert file.stat().st_ino == inode and len(tried) == 1
    await again.close()


@pytest.mark.parametrize(("code", "message"), NETWORK_ERRORS)
async def test_report_25_an_index_of_another_computer_is_rebuilt(
    store: JsonFileStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    """The index has a write-ahead log, which this computer cannot read."""
    await store.save("t", saying("owl"))
    file = index_file(tmp_path / "cache", tmp_path / "threads")
    there = ThreadIndex(store, tmp_path / "cache")
    await there.search("owl")
    await there.close()
    # The write version in the file header: 2 with a write-ahead log, 1 without.
    assert file.read_bytes()[18] == 2

    class Refusing(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            if statement.startswith(("PRAGMA user", "PRAGMA journal_mode = W")):
                data = file.read_bytes()
                if "WAL" in statement or (data and data[18] == 2):
                    error = sqlite3.OperationalError(message)
                    error.sqlite_errorcode = code
                    raise error
            return super().execute(statement, *parameters)

    real = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: real(path, factory=Refusing, **options)
    )
    here = ThreadIndex(store, tmp_path / "cache")
    assert len(await here.search("owl")) == 1 and not here.problem
    assert file.read_bytes()[18] == 1
    await here.close()


@pytest.mark.parametrize("begin", ["BEGIN", "CREATE", "PRAGMA"])
async def test_report_25_an_index_that_cannot_be_written_is_built_in_memory(
    store: JsonFileStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    await store.save("t", saying("owl"))
    failing_statement(monkeypatch, begin, sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error")
    index = ThreadIndex(store, tmp_path / "cache")
    assert len(await index.find("owl")) == 1
    await store.save("u", saying("another owl"))
    assert len(await index.search("owl")) == 2
    assert "disk I/O error" in index.problem


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
async def test_report_25_a_file_system_without_locks_is_not_reported_as_a_busy_index(
    store: JsonFileStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    await store.save("t", saying("owl"))
    monkeypatch.setattr(fcntl, "lockf", refuse)
    index = ThreadIndex(store, tmp_path / "cache")
    assert len(await index.search("owl")) == 1
    assert os.strerror(number) in index.problem


async def test_two_indexes_of_one_directory_work_concurrently(
    store: JsonFileStorage, tmp_path: Path
) -> None:
    for number in range(100):
        await store.save(str(number), saying("owl"))
    pair = [ThreadIndex(store, tmp_path / "cache") for _ in range(2)]
    await asyncio.gather(*(index.refresh() for index in pair))
    for index in pair:
        assert len(await index.search("owl", limit=200)) == 100


async def test_encrypted_threads_are_searched_without_a_trace(tmp_path: Path) -> None:
    store = encrypted(tmp_path / "threads")
    await store.save("t", saying("the owl of minerva"))
    index = ThreadIndex(store, tmp_path / "cache")
    assert [hit.thread_id for hit in await index.search("minerva")] == ["t"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(b"minerva" in path.read_bytes() for path in files)
    assert not (tmp_path / "cache").exists()


async def test_the_index_is_deleted_when_the_threads_are_encrypted(
    store: JsonFileStorage, index: ThreadIndex, tmp_path: Path
) -> None:
    await store.save("t", saying("the owl of minerva"))
    await index.search("owl")
    file = index_file(tmp_path / "cache", tmp_path / "threads")
    left = file.read_bytes()
    encrypt_threads(tmp_path / "threads", passphrase())
    with pytest.raises(EncryptedThreadsError):
        await index.search("owl")
    assert list((tmp_path / "cache").iterdir()) == []
    file.write_bytes(left)
    encrypted_index = ThreadIndex(encrypted(tmp_path / "threads"), tmp_path / "cache")
    assert [hit.thread_id for hit in await encrypted_index.search("owl")] == ["t"]
    assert list((tmp_path / "cache").iterdir()) == []
