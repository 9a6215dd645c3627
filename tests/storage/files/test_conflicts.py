"""Saves that would replace the changes of another process."""

import json
from pathlib import Path

import pytest

from koel_tui.storage import FutureSchemaError
from koel_tui.storage.files.file_storage import FileStorage
from tests.storage.helpers import FILE_STORES, file_name, in_clear, saying


@pytest.fixture(params=FILE_STORES)
def pair(request: pytest.FixtureRequest, folder: Path) -> tuple[FileStorage, FileStorage]:
    """Return two stores that share a directory."""
    return FILE_STORES[request.param](folder), FILE_STORES[request.param](folder)


def conflict_suffixes(folder: Path) -> list[str]:
    return sorted(path.name.split(".")[1] for path in folder.glob("*.conflict-*"))


async def test_a_save_after_a_write_by_another_process_becomes_a_conflict_file(
    pair: tuple[FileStorage, FileStorage], folder: Path
) -> None:
    one, other = pair
    await one.save("t", saying("base"))
    await other.load("t")
    await other.save("t", saying("base", "theirs"))
    await one.save("t", saying("base", "mine"))
    assert await other.load("t") == saying("base", "theirs")
    (conflict,) = one.conflicts
    assert conflict.thread_id == "t"
    assert conflict_suffixes(folder) == ["conflict-2"]
    conflict.path.replace(conflict.path.with_name(conflict.path.name.replace(".conflict-2", "")))
    assert await other.load("t") == saying("base", "mine")


async def test_a_thread_that_was_never_loaded_is_not_overwritten(
    pair: tuple[FileStorage, FileStorage], folder: Path
) -> None:
    one, other = pair
    await one.save("t", saying("old"))
    await other.save("t", saying("blind"))
    assert await one.load("t") == saying("old")
    assert conflict_suffixes(folder) == ["conflict-1"]


async def test_later_saves_replace_the_conflict_file(
    pair: tuple[FileStorage, FileStorage], folder: Path
) -> None:
    one, other = pair
    await one.save("t", saying("base"))
    await other.load("t")
    await other.save("t", saying("theirs"))
    for text in "abc":
        await one.save("t", saying(text))
    assert conflict_suffixes(folder) == ["conflict-2"]
    assert len(one.conflicts) == 1


async def test_a_conflict_file_is_not_replaced_by_others(
    pair: tuple[FileStorage, FileStorage], folder: Path
) -> None:
    one, other = pair
    await one.save("t", saying("base"))
    await other.load("t")
    last = FILE_STORES["encrypted" if (folder / "keys.json").exists() else "json"](folder)
    await last.load("t")
    await last.save("t", saying("theirs"))
    await one.save("t", saying("one"))
    await other.save("t", saying("other"))
    assert conflict_suffixes(folder) == ["conflict-2", "conflict-3"]


async def test_saves_continue_from_the_state_loaded_after_a_conflict(
    pair: tuple[FileStorage, FileStorage], folder: Path
) -> None:
    one, other = pair
    await one.save("t", saying("base"))
    await other.load("t")
    await other.save("t", saying("theirs"))
    await one.save("t", saying("mine"))
    assert await one.load("t") == saying("theirs")
    await one.save("t", saying("theirs", "and mine"))
    assert await other.load("t") == saying("theirs", "and mine")
    assert len(one.conflicts) == 1  # no second conflict file


async def test_a_thread_deleted_elsewhere_is_written_again(
    pair: tuple[FileStorage, FileStorage],
) -> None:
    one, other = pair
    await one.save("t", saying("hi"))
    await one.update_meta("t", title="Weather")
    await other.delete("t")
    await one.save("t", saying("hi", "hello"))
    assert await other.load("t") == saying("hi", "hello")
    assert (await other.meta("t"))["title"] == "Weather"
    assert one.conflicts == ()


async def test_a_metadata_update_does_not_allow_overwriting_an_unloaded_thread(
    pair: tuple[FileStorage, FileStorage], folder: Path
) -> None:
    one, other = pair
    await one.save("t", saying("old"))
    await other.update_meta("t", title="x")
    await other.save("t", saying("blind"))
    assert conflict_suffixes(folder) == ["conflict-1"]
    assert await other.load("t") == saying("old")


async def test_a_file_written_by_a_newer_version_is_not_overwritten(folder: Path) -> None:
    store = in_clear(folder)
    await store.save("t", saying("hi"))
    path = folder / file_name("t")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 3}))
    with pytest.raises(FutureSchemaError):
        await store.save("t", saying("hi", "hello"))
    assert store.conflicts == ()
