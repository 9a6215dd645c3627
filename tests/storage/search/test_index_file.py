"""The file of the search index: who can read it, what harm it survives, when it goes."""

import asyncio
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from koel_tui.storage import JsonFileStorage, StorageError, encrypt_threads
from koel_tui.storage.errors import EncryptedThreadsError
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
async def test_whatever_is_wrong_with_the_index_it_is_made_anew(
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


async def test_a_cache_directory_that_cannot_be_used_is_named(
    store: JsonFileStorage, tmp_path: Path
) -> None:
    await store.save("t", saying("owl"))
    place = index_file(tmp_path / "cache", tmp_path / "threads")
    (place / "in the way").mkdir(parents=True)
    with pytest.raises(StorageError, match=re.escape(str(place))):
        await ThreadIndex(store, tmp_path / "cache").search("owl")


async def test_two_indexes_of_one_directory_get_along(
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


async def test_the_index_goes_when_the_threads_are_encrypted(
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
