"""The updater of the search index: it indexes every save automatically."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic

import pytest

from koel_tui.storage import JsonFileStorage
from koel_tui.storage.search.database import SearchDatabase
from koel_tui.storage.search.index_updater import IndexUpdater
from koel_tui.storage.search.thread_index import ThreadIndex, index_file
from tests.storage.helpers import saying

TIMEOUT_S = 20.0


@pytest.fixture
async def updater(store: JsonFileStorage, tmp_path: Path) -> AsyncIterator[IndexUpdater]:
    kept = IndexUpdater(store, ThreadIndex(store, tmp_path / "cache"), delay=0.01)
    yield kept
    await kept.close()


def words_in_index(store: JsonFileStorage, tmp_path: Path, word: str) -> list[str]:
    """Return the threads that contain `word` in the index file, without an update of the index."""
    database = SearchDatabase(index_file(tmp_path / "cache", store.directory))
    try:
        return sorted(hit.thread_id for hit in database.find(word, 50))
    finally:
        database.close()


async def until(holds: Callable[[], bool]) -> None:
    end = monotonic() + TIMEOUT_S
    while not holds():
        assert monotonic() < end
        await asyncio.sleep(0.01)


async def test_existing_threads_are_indexed_with_progress(
    store: JsonFileStorage, updater: IndexUpdater, tmp_path: Path
) -> None:
    for n in range(40):
        await store.save(f"t{n}", saying("the lighthouse"))
    reported: list[tuple[int, int]] = []
    updater.start(lambda done, total: reported.append((done, total)))
    await until(lambda: (40, 40) in reported)
    assert reported == sorted(reported) and reported[0][0] < 40
    assert len(words_in_index(store, tmp_path, "lighthouse")) == 40


async def test_every_change_reaches_the_index(
    store: JsonFileStorage, updater: IndexUpdater, tmp_path: Path
) -> None:
    def found(word: str) -> list[str]:
        return words_in_index(store, tmp_path, word)

    updater.start()
    await store.save("a", saying("harbour"))
    await until(lambda: found("harbour") == ["a"])
    await store.save("a", saying("harbour", "church"))
    await until(lambda: found("church") == ["a"])
    await store.update_meta("a", title="Istanbul")
    await until(lambda: found("istanbul") == ["a"])
    await store.trash("a")
    await until(lambda: found("harbour") == [])
    await store.restore("a")
    await until(lambda: found("harbour") == ["a"])
    await store.delete("a")
    await until(lambda: found("harbour") == [])


async def test_an_index_that_cannot_be_created_is_created_later(
    store: JsonFileStorage, updater: IndexUpdater, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("in the way")
    updater.start()
    await store.save("a", saying("harbour"))
    await until(lambda: not updater._changed.is_set())
    (tmp_path / "cache").unlink()
    await store.save("a", saying("harbour", "church"))
    await until(lambda: (tmp_path / "cache").is_dir())
    await until(lambda: words_in_index(store, tmp_path, "church") == ["a"])


async def test_the_index_updater_can_be_closed_during_its_work(
    store: JsonFileStorage, tmp_path: Path
) -> None:
    for n in range(100):
        await store.save(f"t{n}", saying("the lighthouse"))
    updater = IndexUpdater(store, ThreadIndex(store, tmp_path / "cache"))
    begun = asyncio.Event()
    updater.start(lambda done, total: begun.set())
    await begun.wait()
    await updater.close()
    await updater.close()
    assert len(asyncio.all_tasks()) == 1
    assert store._watchers == []
    assert 0 < len(words_in_index(store, tmp_path, "lighthouse")) < 100


async def test_answers_being_written_are_read_when_they_are_whole(
    store: JsonFileStorage, tmp_path: Path
) -> None:
    refreshed: list[int] = []

    class CountingIndex(ThreadIndex):
        async def refresh(self, progress: object = None) -> None:
            refreshed.append(1)

    updater = IndexUpdater(store, CountingIndex(store, tmp_path / "cache"), delay=60.0)
    updater.start()
    await until(lambda: len(refreshed) == 1)
    for n in range(5):
        await store.save("t", saying("word " * n))
    assert len(refreshed) == 1
    await updater.close()


async def test_a_watcher_that_raises_fails_neither_the_change_nor_other_watchers(
    store: JsonFileStorage,
) -> None:
    received: list[str] = []

    def failing() -> None:
        received.append("failing")
        raise LookupError("a watcher raised")

    store.watch(failing)
    store.watch(lambda: received.append("other"))
    await store.save("a", saying("harbour"))
    await store.update_meta("a", title="Izmir")
    assert received == ["failing", "other"] * 2
    assert await store.load("a") == saying("harbour")
