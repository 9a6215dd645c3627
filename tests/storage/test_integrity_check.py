"""The integrity check of a directory, which changes nothing: threads, other files, the index."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from koel_tui.storage import JsonFileStorage
from koel_tui.storage.files.file_codec import UnencryptedCodec
from koel_tui.storage.files.file_names import tagged_path
from koel_tui.storage.files.read_only_listing import list_read_only
from koel_tui.storage.index_check import (
    IndexComparison,
    UnreadableIndexError,
    compare_index,
    is_in_use,
)
from koel_tui.storage.integrity_check import OtherFiles, count_other_files, scan_threads
from koel_tui.storage.search.thread_index import ThreadIndex, index_file
from tests.storage.helpers import file_name, saying


def names(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


async def test_threads_are_read_to_their_last_message(store: JsonFileStorage, folder: Path) -> None:
    await store.save("whole", saying("hi", "hello"))
    await store.update_meta("whole", title="Words")
    for name in ("newer", "odd", "torn"):
        await store.save(name, saying("hi"))
    for name, change in (("newer", {"schema": 3}), ("odd", {"state": {"messages": [1]}})):
        path = folder / file_name(name)
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    (folder / file_name("torn")).write_text("{")
    before, reported = names(folder), list[tuple[int, int]]()
    found = scan_threads(
        folder, UnencryptedCodec(folder), lambda done, all_: reported.append((done, all_))
    )
    assert {name: each.texts for name, each in found.intact.items()} == {file_name("whole"): 3}
    assert found.newer == (file_name("newer"),)
    assert set(found.damaged) == {file_name("odd"), file_name("torn")}
    assert reported == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert names(folder) == before


async def test_other_files_of_a_thread_directory_are_counted(
    store: JsonFileStorage, folder: Path
) -> None:
    folder.mkdir(mode=0o700)
    assert count_other_files(folder, ".json") == OtherFiles()
    for name in ("kept", "gone"):
        await store.save(name, saying("hi"))
    await store.trash("gone")
    path = folder / file_name("kept")
    for tag in ("conflict-3", "schema-0-abc"):
        tagged_path(path, tag).write_text("{}")
    (folder / f".{path.name}.{'0' * 16}.tmp").write_text("half")
    (folder / "notes.txt").write_text("not ours")
    (folder / file_name("folder")).mkdir()
    (folder / "quarantine").mkdir()
    (folder / "quarantine" / "copy.json").write_text("[]")
    lock = next((folder / "locks").glob("*.lock"))
    with FileLock(lock, mode=0o600):
        kept = count_other_files(folder, ".json")
    assert kept == OtherFiles(
        quarantined=1,
        conflicts=1,
        backups=1,
        trashed=1,
        temporaries=1,
        locks=2,
        held_locks=1,
        foreign=1,
    )
    assert count_other_files(folder, ".json").held_locks == 0


async def test_a_read_only_listing_has_the_readable_threads_newest_first(
    store: JsonFileStorage, folder: Path
) -> None:
    for name in ("old", "new", "torn", "gone"):
        await store.save(name, saying(name))
    (folder / file_name("torn")).write_text("{")
    await store.trash("gone")
    before = names(folder)
    assert [each.id for each in list_read_only(folder)] == ["new", "old"]
    assert [each.id for each in list_read_only(folder, "trash")] == ["gone"]
    assert names(folder) == before


async def test_an_index_is_compared_with_the_threads(
    store: JsonFileStorage, index: ThreadIndex, folder: Path, tmp_path: Path
) -> None:
    for name in ("same", "changed", "deleted", "wrong"):
        await store.save(name, saying("owl"))
    await index.refresh()
    file = index_file(tmp_path / "cache", folder)
    assert is_in_use(file)
    await index.close()
    assert not is_in_use(file)
    await store.save("changed", saying("owl", "again"))
    await store.save("new", saying("owl"))
    await store.delete("deleted")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "DELETE FROM said WHERE rowid = (SELECT first FROM threads WHERE file = ?)",
            [file_name("wrong")],
        )
        connection.commit()
    readable = scan_threads(folder, UnencryptedCodec(folder))
    assert compare_index(file, readable) == IndexComparison(
        up_to_date=1, outdated=2, stale=1, incorrect=1
    )


@pytest.mark.parametrize("harm", ["UPDATE threads SET signature = '[1]'", "DROP TABLE threads"])
async def test_an_index_that_cannot_be_read_says_so(
    store: JsonFileStorage, index: ThreadIndex, folder: Path, tmp_path: Path, harm: str
) -> None:
    await store.save("t", saying("owl"))
    await index.refresh()
    await index.close()
    file = index_file(tmp_path / "cache", folder)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(harm)
        connection.commit()
    readable = scan_threads(folder, UnencryptedCodec(folder))
    with pytest.raises(UnreadableIndexError):
        compare_index(file, readable)
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(UnreadableIndexError):
        compare_index(file, readable)
