"""Locks on files: between processes, between open files, and on files that cannot be locked."""

import asyncio
import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock as OtherFileLock
from filelock import Timeout

from koel_tui.system import file_lock
from koel_tui.system.file_lock import FileLock, LockResult, is_locked, lock_descriptor

DEADLINE_S = 30.0
ROOT = os.geteuid() == 0
_HOLDER = """
import sys
from pathlib import Path
from koel_tui.system.file_lock import FileLock
with FileLock(Path(sys.argv[1])).hold() as result:
    print(result.acquired, flush=True)
    sys.stdin.readline()
"""
_COUNTER = """
import sys
from pathlib import Path
from koel_tui.system.file_lock import FileLock
path = Path(sys.argv[1])
timeout_s = float(sys.argv[2]) if sys.argv[2] else None
for _ in range(int(sys.argv[3])):
    with FileLock(path.with_suffix(".lock")).hold(timeout_s) as result:
        assert result.acquired
        path.write_text(str(int(path.read_text()) + 1))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock in another process during the block."""
    command = [sys.executable, "-c", _HOLDER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def refuse(code: int) -> object:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    return flock


def test_a_lock_excludes_another_opening_until_its_release(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.acquire() == LockResult(acquired=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_locked(path)
    assert second.acquire().held_elsewhere
    first.release()
    assert not is_locked(path)
    assert second.acquire().acquired
    second.release()
    second.release()
    assert path.exists()


def test_two_checks_do_not_see_each_other(path: Path) -> None:
    path.touch()
    with path.open("rb") as checking:
        assert lock_descriptor(checking.fileno(), shared=True).acquired
        assert not is_locked(path)
        assert FileLock(path).acquire().held_elsewhere


def test_a_lock_check_creates_no_file_follows_no_link_and_does_not_block(path: Path) -> None:
    assert not is_locked(path) and not path.exists()
    assert not is_locked(path.parent / "nowhere" / "a.lock")
    pipe, link = path.with_name("pipe"), path.with_name("link")
    os.mkfifo(pipe)
    assert not is_locked(pipe)
    with FileLock(path).hold():
        link.symlink_to(path)
        assert is_locked(path) and not is_locked(link)


def test_a_descriptor_is_unlocked_when_its_file_is_closed(path: Path) -> None:
    with path.open("wb") as file:
        assert lock_descriptor(file.fileno()).acquired
        assert is_locked(path)
    assert not is_locked(path)


def test_the_lock_of_filelock_and_ours_exclude_each_other(path: Path) -> None:
    """Older versions of the program locked the same files with `filelock`."""
    with FileLock(path).hold() as result, pytest.raises(Timeout):
        assert result.acquired
        OtherFileLock(path).acquire(timeout=0)
    with OtherFileLock(path):
        assert FileLock(path).acquire().held_elsewhere and is_locked(path)


def test_an_error_in_the_block_releases_the_lock(path: Path) -> None:
    descriptors = open_descriptors()
    with pytest.raises(ZeroDivisionError), FileLock(path).hold():
        raise ZeroDivisionError
    assert not is_locked(path)
    assert open_descriptors() == descriptors


async def test_a_cancelled_task_releases_the_lock(path: Path) -> None:
    holding = asyncio.Event()

    async def hold() -> None:
        with FileLock(path).hold():
            holding.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await asyncio.wait_for(holding.wait(), DEADLINE_S)
    assert is_locked(path)
    task.cancel()
    await asyncio.wait([task], timeout=DEADLINE_S)
    assert task.cancelled() and not is_locked(path)


def test_an_interrupt_while_it_waits_leaves_no_file_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_descriptor: int, operation: int) -> None:
        if operation != fcntl.LOCK_UN:
            raise KeyboardInterrupt

    descriptors = open_descriptors()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", interrupted)
        with pytest.raises(KeyboardInterrupt):
            FileLock(path).acquire(timeout_s=None)
    assert open_descriptors() == descriptors
    assert FileLock(path).acquire().acquired


def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    with holder(path) as process:
        assert FileLock(path).acquire().held_elsewhere
        assert is_locked(path)
        process.kill()
        process.wait(DEADLINE_S)
        assert not is_locked(path)
        assert FileLock(path).acquire().acquired


def test_acquiring_a_lock_waits_until_its_timeout(path: Path) -> None:
    with holder(path):
        start = time.monotonic()
        assert FileLock(path).acquire(timeout_s=0.1).held_elsewhere
        assert 0.1 <= time.monotonic() - start < DEADLINE_S


@pytest.mark.parametrize("timeout_s", [None, DEADLINE_S])
def test_a_waiter_gets_the_lock_when_another_process_releases_it(
    path: Path, timeout_s: float | None
) -> None:
    lock, results = FileLock(path), []
    waiter = threading.Thread(target=lambda: results.append(lock.acquire(timeout_s)))
    with holder(path) as process:
        waiter.start()
        process.communicate("release\n", timeout=DEADLINE_S)
        waiter.join(DEADLINE_S)
    assert results == [LockResult(acquired=True)]
    lock.release()


@pytest.mark.parametrize("timeout_s", ["", str(DEADLINE_S)])
def test_processes_that_contend_exclude_each_other(tmp_path: Path, timeout_s: str) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    command = [sys.executable, "-c", _COUNTER, str(path), timeout_s, "200"]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(2 * DEADLINE_S) for process in processes] == [0, 0]
    assert path.read_text() == "400"


def test_a_lock_is_released_although_a_forked_child_has_its_file(path: Path) -> None:
    """A child inherits the open file until it calls `exec`."""
    lock = FileLock(path)
    assert lock.acquire().acquired
    kept = os.dup(lock._descriptor or -1)  # shares the open file, as in a child
    try:
        lock.release()
        assert not is_locked(path)
    finally:
        os.close(kept)


def test_a_link_in_place_of_the_file_is_refused_and_its_target_untouched(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("mine")
    for linked in (target, path.with_name("nowhere")):
        path.symlink_to(linked)
        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            FileLock(path).acquire()
        path.unlink()
    assert target.read_text() == "mine" and not path.with_name("nowhere").exists()


def test_a_directory_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    if ROOT and shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and cannot give that up here")
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    mortal = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if ROOT else []
    command = [*mortal, sys.executable, "-c", _HOLDER, str(folder / "a.lock")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode and "PermissionError" in done.stderr
    assert list(folder.iterdir()) == []


def test_a_file_that_is_removed_before_it_is_locked_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removals = fcntl.flock, iter([True, False, False, False, False])

    def late(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        if operation != fcntl.LOCK_UN and next(removals):
            path.unlink()

    monkeypatch.setattr(fcntl, "flock", late)
    lock = FileLock(path)
    assert lock.acquire(DEADLINE_S).acquired
    assert path.exists() and is_locked(path)
    lock.release()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
@pytest.mark.parametrize("timeout_s", [None, 0.0, DEADLINE_S])
def test_a_file_that_cannot_be_locked_says_why_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int, timeout_s: float | None
) -> None:
    descriptors = open_descriptors()
    monkeypatch.setattr(fcntl, "flock", refuse(code))
    with FileLock(path).hold(timeout_s) as result:
        assert not result.acquired and not result.held_elsewhere
        assert result.error is not None and result.error.errno == code
        assert result.unsupported == (code != errno.EIO)
        assert not is_locked(path)
    assert open_descriptors() == descriptors


def test_the_content_is_replaced_only_while_the_lock_is_held(path: Path) -> None:
    lock = FileLock(path)
    lock.write(b"nobody")
    assert not path.exists()
    with lock.hold():
        lock.write(b"123456\n")
        lock.write(b"7\n")
        assert path.read_bytes() == b"7\n"
        lock.write(b"")
    lock.write(b"nobody")
    assert path.read_bytes() == b""


def test_a_failed_acquire_keeps_the_content_of_the_lock_file(path: Path) -> None:
    with FileLock(path).hold(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_lock, "_POLL_INTERVAL_S", 0.0)
        path.write_text("1234")
        assert FileLock(path).acquire(timeout_s=0.01).held_elsewhere
        assert path.read_text() == "1234"
