"""Recovery files of threads that cannot be saved, and restoring them."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from koel_tui.protocol import ChatState, Fork
from koel_tui.storage import EncryptedThreadsError, StorageError, change_key
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.interchange import Thread
from koel_tui.storage.recovery_files import (
    UnsavedWork,
    find_recovery_files,
    is_continuation,
    read_recovery_file,
    restore_thread,
    write_recovery_file,
)
from tests.hostile_summary import Tally
from tests.storage.helpers import (
    FILE_STORES,
    MOMENT,
    encrypted,
    in_clear,
    passphrase,
    saying,
    words,
)

SECRET = saying("secret question", "secret answer")
UNSAVED = UnsavedWork((Thread("t", SECRET, {"title": "secret title"}),), {"tabs": ["secret draft"]})


@pytest.fixture(params=FILE_STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStorage:
    storage = FILE_STORES[request.param](tmp_path / "threads")
    await storage.save("other", saying("hi"))
    return storage


async def test_a_recovery_file_restores_its_threads_unchanged(
    store: FileStorage, tmp_path: Path, tally: Tally
) -> None:
    folder = tmp_path / "state" / "recovery"
    path = write_recovery_file(UNSAVED, [folder], store.codec.encode_recovery, MOMENT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert find_recovery_files([folder]) == [path]
    assert read_recovery_file(path, store.codec) == UNSAVED
    assert (path.suffix == ".sealed") == (b"secret" not in path.read_bytes())
    (thread,) = UNSAVED.threads
    stored = await restore_thread(store, thread)
    assert (stored.id, stored.title, stored.is_new) == ("t", "secret title", True)
    assert await store.load("t") == SECRET
    assert (await store.meta("t"))["title"] == "secret title"
    assert not (await restore_thread(store, thread)).is_new or await store.load("t") == SECRET
    assert len(await store.list_threads()) == 2
    tally("full disk", tried=1)


def test_the_first_usable_directory_gets_the_recovery_file(tmp_path: Path, tally: Tally) -> None:
    file = tmp_path / "file"
    file.touch()
    link = tmp_path / "dangling"
    link.symlink_to(tmp_path / "nowhere")
    last = tmp_path / "last"
    path = write_recovery_file(UNSAVED, [file, file / "below", link, last], bytes, MOMENT)
    assert path.parent == last
    with pytest.raises(StorageError) as caught:
        write_recovery_file(UNSAVED, [file, link], bytes, MOMENT)
    assert str(file) in str(caught.value) and str(link) in str(caught.value)
    assert not (tmp_path / "nowhere").exists()
    tally("full disk", tried=4)


async def test_the_recovery_file_of_encrypted_threads_is_never_unencrypted(
    tmp_path: Path, tally: Tally
) -> None:
    clear = in_clear(tmp_path / "threads")
    await clear.save("t", saying("hi"))
    other = encrypted(tmp_path / "other")
    await other.save("t", saying("hi"))
    (tmp_path / "other" / "keys.json").replace(tmp_path / "threads" / "keys.json")
    with pytest.raises(EncryptedThreadsError):
        write_recovery_file(UNSAVED, [tmp_path / "recovery"], clear.codec.encode_recovery, MOMENT)
    assert not (tmp_path / "recovery").exists()
    # The store has the key in memory, so the directory of the key is not needed.
    path = write_recovery_file(
        UNSAVED, [tmp_path / "recovery"], other.codec.encode_recovery, MOMENT
    )
    assert b"secret" not in path.read_bytes()
    assert read_recovery_file(path, other.codec) == UNSAVED
    tally("interrupted encryption", tried=1)


async def test_a_recovery_file_can_be_read_after_the_passphrase_changed(
    tmp_path: Path, tally: Tally
) -> None:
    folder = tmp_path / "threads"
    store = encrypted(folder)
    await store.save("t", saying("hi"))
    path = write_recovery_file(
        UNSAVED, [tmp_path / "recovery"], store.codec.encode_recovery, MOMENT
    )
    change_key(folder, passphrase(), passphrase("battery staple"))
    again = encrypted(folder, "battery staple")
    assert read_recovery_file(path, again.codec) == UNSAVED
    other = encrypted(tmp_path / "elsewhere")
    await other.save("t", saying("hi"))
    with pytest.raises(NotAThreadError, match="another key"):
        read_recovery_file(path, other.codec)
    with pytest.raises(NotAThreadError, match="encrypted"):
        read_recovery_file(path, in_clear(tmp_path / "clear").codec)
    tally("interrupted encryption", tried=1)


async def test_a_recovered_thread_that_extends_the_stored_one_replaces_it(tmp_path: Path) -> None:
    store = in_clear(tmp_path)
    await store.save("t", saying("question", "half"))
    await store.update_meta("t", title="Mine")
    longer = saying("question", "half and the rest", "next")
    await restore_thread(store, Thread("t", longer, {"created": "2020-01-01T00:00:00.000Z"}))
    assert await store.load("t") == longer
    assert (await store.meta("t"))["title"] == "Mine"
    assert not (await store.meta("t"))["created"].startswith("2020")
    assert await store.list_threads() == ["t"]


async def test_a_recovered_thread_that_diverged_becomes_a_separate_thread(tmp_path: Path) -> None:
    store = in_clear(tmp_path)
    await store.save("t", saying("question", "an answer"))
    stored = await restore_thread(store, Thread("t", saying("question", "another")))
    assert stored.id != "t"
    assert words(await store.load("t")) == ["question", "an answer"]
    assert words(await store.load(stored.id)) == ["question", "another"]


def test_a_branch_that_was_left_is_not_lost() -> None:
    before, after = saying("question", "an answer"), saying("question")
    asked, answer = before.messages
    fork = Fork(asked.id, ((answer,), ()), 1)
    assert is_continuation(before, replace(after, forks=(fork,)))
    assert not is_continuation(before, after)
    assert not is_continuation(replace(after, forks=(fork,)), after)
    assert is_continuation(ChatState(), after)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"format":"koel-chat/thread"}', b'{"format":"koel-chat/recovery"}',
     b'{"format":"koel-chat/recovery","version":2,"threads":[]}',
     b'{"format":"koel-chat/recovery","version":1,"threads":[{}]}',
     b'{"format":"koel-chat/sealed"}\n\x00'],
)  # fmt: skip
def test_a_damaged_recovery_file_is_refused_and_not_changed(
    tmp_path: Path, data: bytes, tally: Tally
) -> None:
    path = tmp_path / "unsaved-1.json"
    path.write_bytes(data)
    with pytest.raises(NotAThreadError):
        read_recovery_file(path, None)
    assert path.read_bytes() == data
    tally("damaged thread file", tried=1)


def test_only_regular_files_of_the_user_are_restored(tmp_path: Path, tally: Tally) -> None:
    folder = tmp_path / "recovery"
    path = write_recovery_file(UNSAVED, [folder], bytes, MOMENT)
    (folder / "unsaved-link.json").symlink_to(path)
    (folder / "unsaved-pipe.json").mkdir()
    (folder / "notes.json").write_text("{}")
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert find_recovery_files([tmp_path / "missing", linked, folder]) == [path]
    if os.getuid() == 0:
        os.chown(folder, 65534, -1)
        assert find_recovery_files([folder]) == []
    tally("foreign files", tried=5)
