"""The journal of a thread: every reader applies it, and a save joins it with the file."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from koel_tui.storage import EncryptedFileStorage, JsonFileStorage, decrypt_threads, encrypt_threads
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.files.read_only_listing import list_read_only
from koel_tui.storage.integrity_check import scan_threads
from koel_tui.storage.interchange import Thread, read_threads
from koel_tui.storage.interchange.exporting import load_thread
from koel_tui.storage.search.thread_index import ThreadIndex
from tests.hostile_summary import Tally
from tests.storage.files.journals import ASKED, answering, journal_every_size, journals
from tests.storage.helpers import FILE_STORES, file_name, in_clear, passphrase, saying, words

Make = Callable[[Path], FileStorage]


@pytest.fixture(autouse=True)
def small_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    journal_every_size(monkeypatch)


@pytest.fixture(params=FILE_STORES)
def make(request: pytest.FixtureRequest) -> Make:
    return FILE_STORES[request.param]


async def stream(storage: FileStorage, *texts: str) -> None:
    """Save a question, then each partial answer in `texts`, without closing the thread."""
    assert (await storage.open("t")).writable
    await storage.save("t", ASKED)
    for text in texts:
        await storage.save_progress("t", answering(text))


async def test_every_reader_applies_the_journal(make: Make, folder: Path, tmp_path: Path) -> None:
    storage = make(folder)
    await stream(storage, "Lorem", "Lorem ipsum", "Lorem ipsum ☃ dolor")
    await storage.update_meta("t", title="Heading", system="Be brief.")
    assert len(journals(folder)) == 1
    expected = [*words(ASKED), "Lorem ipsum ☃ dolor"]
    other = make(folder)
    assert words(await other.load("t")) == expected
    assert (await other.meta("t"))["system"] == "Be brief."
    for reader in (storage, make(folder)):
        (row,) = await reader.summaries()
        assert (row.title, row.messages, row.preview) == ("Heading", 3, "new question")
        assert row.updated == max(row.updated, row.created)
    exported = await load_thread(make(folder), "t")
    assert words(exported.state) == expected and exported.meta["title"] == "Heading"
    index = ThreadIndex(make(folder), tmp_path / "cache")
    assert [hit.message_id for hit in await index.search("dolor")] == ["a"]
    await index.close()
    scan = scan_threads(folder, other.codec)
    assert scan.damaged == () and [each.texts for each in scan.intact.values()] == [5]
    if make is in_clear:
        assert [row.title for row in list_read_only(folder)] == ["Heading"]
        (imported,) = read_threads(folder / file_name("t"))
        assert isinstance(imported, Thread) and imported.title == "Heading"
        assert words(imported.state)[:3] == words(ASKED)
        assert imported.state.open_messages or words(imported.state) == expected
    assert other.conflicts == () and other.damaged == ()


async def test_the_index_is_updated_when_only_the_journal_has_changed(
    store: JsonFileStorage, index: ThreadIndex
) -> None:
    await stream(store, "Lorem")
    assert len(await index.search("lorem")) == 1
    await store.save_progress("t", answering("Lorem ipsum"))
    assert len(await index.search("ipsum")) == 1
    await index.close()


@pytest.mark.parametrize("how", ["save", "close", "load"])
async def test_the_journal_is_joined_with_the_file(make: Make, folder: Path, how: str) -> None:
    storage = make(folder)
    await stream(storage, "Lorem", "Lorem ipsum")
    if how == "save":
        await storage.save("t", saying("done"))
    elif how == "close":
        await storage.close("t")
    else:
        assert words(await storage.load("t")) == [*words(ASKED), "Lorem ipsum"]
    assert journals(folder) == []
    loaded = words(await make(folder).load("t"))
    assert loaded == (["done"] if how == "save" else [*words(ASKED), "Lorem ipsum"])
    await storage.save("t", saying("more"))
    assert words(await make(folder).load("t")) == ["more"]
    assert storage.conflicts == ()


async def test_the_file_of_the_thread_is_not_written_while_the_journal_is(
    make: Make, folder: Path
) -> None:
    storage = make(folder)
    await stream(storage)
    (path,) = (path for path in folder.glob("t-*") if path.suffix != ".journal")
    before = path.read_bytes()
    for number in range(20):
        await storage.save_progress("t", answering("word " * number))
        await storage.update_meta("t", title=str(number))
    assert path.read_bytes() == before
    (journal,) = journals(folder)
    assert journal.stat().st_mode & 0o777 == 0o600
    assert words(await make(folder).load("t"))[-1] == "word " * 19
    assert (await make(folder).meta("t"))["title"] == "19"


async def test_the_generation_and_the_time_continue_over_the_journal(folder: Path) -> None:
    storage = in_clear(folder)
    await stream(storage, "a", "ab")
    times = [(await in_clear(folder).meta("t"))["updated"]]
    await storage.close("t")
    wire = json.loads((folder / file_name("t")).read_bytes())
    assert wire["gen"] == 4
    assert wire["meta"]["updated"] == times[0] > wire["meta"]["created"]


async def test_records_after_a_torn_record_are_ignored(make: Make, folder: Path) -> None:
    storage = make(folder)
    await stream(storage, "one")
    (journal,) = journals(folder)
    first = len(journal.read_bytes())
    await storage.save_progress("t", answering("one two"))
    whole = journal.read_bytes()
    reader = make(folder)
    for size in range(first, len(whole), 7):
        journal.write_bytes(whole[:size])
        assert words(await reader.load("t"))[-1] == "one"
        assert reader.damaged == ()
    for size in range(first, len(whole), 7):
        journal.write_bytes(whole[:size] + bytes(len(whole) - size))
        assert words(await reader.load("t"))[-1] == "one"


async def test_a_flipped_bit_of_a_journal_never_gives_a_third_state(
    make: Make, folder: Path, tally: Tally
) -> None:
    storage = make(folder)
    await stream(storage, "one", "one two")
    (journal,) = journals(folder)
    whole = journal.read_bytes()
    expected = [[*words(ASKED)], [*words(ASKED), "one"], [*words(ASKED), "one two"]]
    reader = make(folder)
    for place in range(0, len(whole), 3):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        journal.write_bytes(flipped)
        assert words(await reader.load("t")) in expected
        assert len(await reader.summaries()) == 1
        assert reader.damaged == ()
    tally("damaged thread file", tried=len(whole) // 3)


async def test_a_journal_of_another_generation_is_ignored(make: Make, folder: Path) -> None:
    storage = make(folder)
    await stream(storage, "lost")
    (journal,) = journals(folder)
    old = journal.read_bytes()
    await storage.save("t", ASKED)
    journal.write_bytes(old)
    reader = make(folder)
    assert await reader.load("t") == ASKED
    await storage.close("t")
    assert (await reader.open("t")).writable
    await reader.save("t", ASKED)
    await reader.save_progress("t", answering("new"))
    assert words(await make(folder).load("t"))[-1] == "new"
    assert reader.conflicts == ()


async def test_a_change_in_the_journal_by_another_process_is_not_overwritten(
    make: Make, folder: Path
) -> None:
    one, other = make(folder), make(folder)
    await one.save("t", ASKED)
    await other.load("t")
    await other.update_meta("t", title="Theirs")
    await one.save("t", saying("mine"))
    assert len(one.conflicts) == 1
    assert await make(folder).load("t") == ASKED
    assert (await make(folder).meta("t"))["title"] == "Theirs"


async def test_metadata_of_a_thread_that_was_not_loaded(make: Make, folder: Path) -> None:
    await make(folder).save("t", ASKED)
    (path,) = folder.glob("t-*")
    before = path.read_bytes()
    for title in ("One", "Two"):
        await make(folder).update_meta("t", title=title, model="m")
    assert path.read_bytes() == before
    reader = make(folder)
    assert [(row.title, row.model) for row in await reader.summaries()] == [("Two", "m")]
    assert await reader.load("t") == ASKED
    await reader.update_meta("t", title=None)
    assert [row.title for row in await make(folder).summaries()] == ["old question"]
    await reader.save("t", saying("more"))
    assert journals(folder) == []
    assert (await make(folder).meta("t"))["model"] == "m"


async def test_long_metadata_does_not_fit_the_start_of_the_file(make: Make, folder: Path) -> None:
    storage = make(folder)
    await storage.save("t", ASKED)
    for size in (5_000, 200_000):
        await storage.update_meta("t", system="x" * size)
        assert len((await make(folder).meta("t"))["system"]) == size
        await storage.save("t", ASKED)
        assert len((await make(folder).meta("t"))["system"]) == size
        await make(folder).update_meta("t", title="New")
        assert (await make(folder).meta("t"))["title"] == "New"
        assert await storage.load("t") == ASKED


async def test_the_journal_is_moved_and_deleted_with_its_thread(make: Make, folder: Path) -> None:
    storage = make(folder)
    await stream(storage, "half an ans")
    await storage.trash("t")
    assert journals(folder) == [] and await storage.load("t") is None
    await storage.restore("t")
    assert words(await storage.load("t"))[-1] == "half an ans"
    await storage.save("t", ASKED)
    await storage.save_progress("t", answering("more"))
    await storage.delete("t")
    assert journals(folder) == [] and await make(folder).load("t") is None


async def test_a_journal_without_a_thread_is_removed_at_the_start(folder: Path) -> None:
    storage = in_clear(folder)
    await stream(storage, "secret")
    (journal,) = journals(folder)
    content = journal.read_bytes()
    (folder / file_name("t")).unlink()
    (folder / "t-notes.journal").write_text("theirs")
    await in_clear(folder).list_threads()
    assert journals(folder) == [folder / "t-notes.journal"]
    await storage.close("t")
    again = JsonFileStorage(folder)  # its clock differs from the one above
    await again.save("t", ASKED)
    journal.write_bytes(content)  # the journal of a deleted thread with the same id
    assert await again.load("t") == ASKED


async def test_encryption_and_decryption_leave_no_journal_of_the_other_form(
    folder: Path,
) -> None:
    storage = in_clear(folder)
    await stream(storage, "secret words")
    expected = words(await in_clear(folder).load("t"))
    journal = journals(folder)[0].read_bytes()
    await stream_ended_by_a_crash(storage)
    assert encrypt_threads(folder, passphrase()) == 1
    assert journals(folder) == []
    assert b"secret words" in journal
    assert not any(
        b"secret words" in path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )
    sealed = EncryptedFileStorage(folder, key=passphrase())
    assert words(await sealed.load("t")) == expected
    assert (await sealed.open("t")).writable
    await sealed.save("t", ASKED)
    await sealed.save_progress("t", answering("more words"))
    await stream_ended_by_a_crash(sealed)
    assert decrypt_threads(folder, passphrase()) == 1
    assert journals(folder) == []
    assert words(await in_clear(folder).load("t")) == [*words(ASKED), "more words"]


async def stream_ended_by_a_crash(storage: FileStorage) -> None:
    """Release the lock of the thread, but keep its journal."""
    storage._files._locks.close(storage.codec.stem("t"))


async def test_a_journal_path_that_is_not_a_regular_file_is_not_touched(
    make: Make, folder: Path
) -> None:
    storage = make(folder)
    await stream(storage)
    path = folder / f"{storage.codec.stem('t')}.journal"
    outside = folder.parent / "outside"
    outside.write_text("precious")
    for kind in ("directory", "link", "pipe"):
        if kind == "directory":
            path.mkdir()
        elif kind == "link":
            path.symlink_to(outside)
        else:
            os.mkfifo(path)
        await storage.save_progress("t", answering("word"))
        await storage.update_meta("t", title="Title")
        assert words(await make(folder).load("t"))[-1] == "word"
        assert outside.read_text() == "precious" and os.path.lexists(path)
        assert len(await make(folder).summaries()) == 1
        (path.rmdir if path.is_dir() else path.unlink)()
        await storage.save("t", ASKED)
    assert storage.conflicts == ()


async def test_a_long_journal_is_joined_while_the_answer_is_written(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("koel_tui.storage.files.thread_writer.MAX_JOURNAL_BYTES", 2000)
    storage = make(folder)
    await stream(storage)
    sizes = []
    for number in range(30):
        await storage.save_progress("t", answering("word " * number))
        sizes.append(sum(path.stat().st_size for path in journals(folder)))
    assert 2000 < max(sizes) < 4000 and 0 in sizes[1:]
    assert words(await make(folder).load("t"))[-1] == "word " * 29


async def test_a_small_thread_has_no_journal(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("koel_tui.storage.files.thread_writer.MIN_FILE_BYTES", 64 * 1024)
    storage = make(folder)
    await stream(storage, "word")
    await storage.update_meta("t", title="Title")
    assert journals(folder) == []
    assert words(await make(folder).load("t"))[-1] == "word"


async def test_a_damaged_thread_is_copied_with_its_journal(make: Make, folder: Path) -> None:
    storage = make(folder)
    await stream(storage, "word")
    (path,) = (path for path in folder.glob("t-*") if path.suffix != ".journal")
    (journal,) = journals(folder)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 9)
    reader = make(folder)
    assert await reader.load("t") is None
    copies = {copy.read_bytes() for copy in (folder / "quarantine").iterdir()}
    assert copies == {path.read_bytes(), journal.read_bytes()}
