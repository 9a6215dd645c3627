"""Two processes that use one thread: storage contract case 10, and the lock of an open thread."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from koel_tui.storage import Access, JsonFileStorage, ThreadLockedError
from koel_tui.storage.files.file_storage import FileStorage
from tests.hostile_summary import Tally
from tests.storage.helpers import FILE_STORES, file_name, saying, words
from tests.storage.worker import start

TIMEOUT_S = 60


@contextmanager
def holding(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Keep the thread `t` open in another process during the block."""
    with start("hold", "json", folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


@pytest.mark.parametrize("kind", FILE_STORES)
async def test_storage_case_10_no_append_of_two_processes_is_lost(
    folder: Path, kind: str, tally: Tally
) -> None:
    store = FILE_STORES[kind](folder)
    await store.save("t", saying())
    with (
        start("append", kind, folder, "a", "200") as a,
        start("append", kind, folder, "b", "200") as b,
    ):
        answers = []
        for process in (a, b):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (a, b):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in (a, b):
            output, _ = await asyncio.to_thread(process.communicate, timeout=TIMEOUT_S)
            answers.append(json.loads(output))
    kept = {text for answer in answers for text in answer[0]}
    refused = {text for answer in answers for text in answer[1]}
    assert len(kept) + len(refused) == 400
    assert all(answer[0] for answer in answers)
    lost = kept - await everything(store, folder)
    assert not lost
    tally("two processes", tried=400, lost=len(lost))


async def everything(store: FileStorage, folder: Path) -> set[str]:
    """Return all texts of a thread and of its conflict files."""
    own, *conflict_files = files(folder)
    found = set(words(await store.load("t")))
    for conflict_file in conflict_files:
        conflict_file.replace(own)
        found |= set(words(await store.load("t")))
    return found


def files(folder: Path) -> list[Path]:
    """Return the file of the only thread, followed by its conflict files."""
    return sorted(folder.glob("t-*"), key=lambda path: len(path.name))


async def test_a_thread_open_in_another_process_is_read_only_and_names_the_process(
    folder: Path, tally: Tally
) -> None:
    store = JsonFileStorage(folder)
    await store.save("t", saying("hi"))
    before = (folder / file_name("t")).read_bytes()
    with holding(folder) as process:
        access = await store.open("t")
        assert (access.writable, access.holder_pid) == (False, process.pid)
        assert f"process {process.pid}" in access.reason
        assert await store.load("t") == saying("hi")
        assert len(await store.summaries()) == 1
        for change in (
            store.save("t", saying("mine")),
            store.update_meta("t", title="mine"),
            store.delete("t"),
            store.trash("t"),
        ):
            with pytest.raises(ThreadLockedError, match=f"process {process.pid}") as caught:
                await change
            assert caught.value.pid == process.pid
        assert (folder / file_name("t")).read_bytes() == before
        await store.save("other", saying("free"))
    tally("two processes", tried=4)


async def test_threads_open_elsewhere_are_known_without_opening_them(folder: Path) -> None:
    store = JsonFileStorage(folder)
    await store.save("t", saying("hi"))
    await store.save("closed", saying("hi"))
    await store.open("mine")
    threads = ["t", "closed", "mine", "never saved"]
    with holding(folder) as process:
        assert await store.held_elsewhere(threads) == {"t"}
        assert (await store.open("t")).holder_pid == process.pid  # the query did not erase the pid
        os.kill(process.pid, signal.SIGKILL)
        process.wait(TIMEOUT_S)
        assert not await store.held_elsewhere(threads)
        assert await JsonFileStorage(folder).open("t") == Access(writable=True)


async def test_the_lock_of_a_killed_process_is_free_at_once(folder: Path, tally: Tally) -> None:
    store = JsonFileStorage(folder)
    with holding(folder) as process:
        assert not (await store.open("t")).writable
        os.kill(process.pid, signal.SIGKILL)
        process.wait(TIMEOUT_S)
        begin = time.monotonic()
        assert await store.open("t") == Access(writable=True)
        assert time.monotonic() - begin < 1
    tally("two processes", tried=1)


async def test_a_closed_thread_can_be_opened_by_others(folder: Path) -> None:
    one, other = JsonFileStorage(folder), JsonFileStorage(folder)
    assert (await one.open("t")).writable
    refused = await other.open("t")
    assert (refused.writable, refused.holder_pid) == (False, os.getpid())
    await one.save("t", saying("hi"))
    await one.close("t")
    assert (await other.open("t")).writable
    with pytest.raises(ThreadLockedError):
        await one.save("t", saying("hi", "again"))


async def test_lock_files_are_private_and_stay(folder: Path) -> None:
    store = JsonFileStorage(folder)
    await store.save("t", saying("hi"))
    await store.delete("t")
    (lock,) = (folder / "locks").iterdir()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700
    assert lock.read_bytes() == b""


async def test_a_lock_that_is_a_link_is_not_followed(
    folder: Path, tmp_path: Path, tally: Tally
) -> None:
    store = JsonFileStorage(folder)
    await store.save("t", saying("hi"))
    (lock,) = (folder / "locks").iterdir()
    target = tmp_path / "precious"
    target.write_text("precious")
    lock.unlink()
    lock.symlink_to(target)
    access = await store.open("t")
    assert (access.writable, access.holder_pid) == (False, None)
    assert "cannot be locked" in access.reason
    assert target.read_text() == "precious"
    tally("foreign files", tried=1)
