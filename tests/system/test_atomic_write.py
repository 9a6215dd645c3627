"""Atomic writes: flushes, links, failing system calls and left-over temporary files."""

import errno
import fcntl
import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from koel_tui.system.atomic_write import (
    find_temporaries,
    flush_directory,
    install_atomically,
    remove_temporaries,
    write_atomically,
)
from tests.hostile_summary import Tally

NAME = f"t-{'0' * 32}.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "threads"
    made.mkdir()
    return made


@pytest.fixture
def path(folder: Path) -> Path:
    file = folder / NAME
    file.write_bytes(b"old")
    return file


def test_the_content_is_replaced_and_private(path: Path) -> None:
    status = write_atomically(path, b"new" * 100_000)
    assert path.read_bytes() == b"new" * 100_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_ino == status.st_ino
    assert list(path.parent.iterdir()) == [path]


def test_a_link_is_replaced_and_its_target_is_not_changed(path: Path, tally: Tally) -> None:
    tally("foreign files", tried=1)
    link = path.with_name("link.json")
    link.symlink_to(path)
    write_atomically(link, b"new")
    assert path.read_bytes() == b"old"
    assert not link.is_symlink() and link.read_bytes() == b"new"


def steps_of_writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each write, flush and rename is added."""
    steps: list[str] = []
    real_fsync, real_replace, real_write = os.fsync, os.replace, os.write

    def write(descriptor: int, data: Any) -> int:
        steps.append("write")
        return real_write(descriptor, data)

    def fsync(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append("flush directory" if folder else "flush file")
        real_fsync(descriptor)

    def replace(*paths: Any, **named: Any) -> None:
        steps.append("rename")
        real_replace(*paths, **named)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return steps


def test_the_data_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of_writes(monkeypatch)
    write_atomically(path, b"new")
    assert steps == ["write", "flush file", "rename", "flush directory"]


def test_a_cache_is_whole_and_private_but_not_flushed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of_writes(monkeypatch)
    write_atomically(path, b"line\n", memoryview(b"state"), durable=False)
    assert steps == ["write", "write", "rename"]
    assert path.read_bytes() == b"line\nstate"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("function", ["write", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space"), KeyboardInterrupt(), MemoryError()])
def test_an_error_leaves_the_old_content_and_no_temporary_file(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    durable: bool,
    function: str,
    error: BaseException,
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(os, function, failing)
    with pytest.raises(type(error)):
        write_atomically(path, b"new", durable=durable)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_finished_file_is_flushed_before_it_gets_its_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = path.with_name("model.part")
    finished.write_bytes(b"weights")
    steps = steps_of_writes(monkeypatch)
    install_atomically(finished, path)
    assert steps == ["flush file", "rename", "flush directory"]
    assert path.read_bytes() == b"weights" and not finished.exists()


def test_a_link_is_not_installed_and_one_in_the_place_is_replaced(path: Path) -> None:
    finished, link = path.with_name("model.part"), path.with_name("link")
    finished.write_bytes(b"weights")
    link.symlink_to(path)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        install_atomically(link, finished)
    assert finished.read_bytes() == b"weights" and link.is_symlink()
    install_atomically(finished, link)
    assert link.read_bytes() == b"weights" and not link.is_symlink()
    assert path.read_bytes() == b"old"


def test_a_folder_behind_a_link_can_hold_an_installed_file(path: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(path.parent)
    finished = linked / "model.part"
    finished.write_bytes(b"weights")
    install_atomically(finished, linked / path.name)
    assert path.read_bytes() == b"weights"


def test_processes_that_write_one_file_leave_one_of_their_contents(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from koel_tui.system.atomic_write import write_atomically\n"
        "for _ in range(50): write_atomically(Path(sys.argv[1]), sys.argv[2].encode() * 10_000)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, path, name]) for name in "ab"]
    while any(writer.poll() is None for writer in writers):
        assert path.read_bytes() in (b"old", b"a" * 10_000, b"b" * 10_000)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert list(path.parent.iterdir()) == [path]


def test_short_writes_are_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:7])))
    write_atomically(path, bytes(range(256)))
    assert path.read_bytes() == bytes(range(256))


CALLS = ("open", "write", "fsync", "fstat", "replace", "close")


class Faults:
    """Makes the k-th system call of a write fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
        self.count = 0
        self.failed = ""
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name), failing))

    def _wrapped(self, name: str, real: Any, failing: int) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            if self.count != failing:
                return real(*arguments, **named)
            if name == "close":
                real(*arguments)  # a failed close closes the descriptor anyway
            self.failed = name
            raise OSError(5, "Input/output error")

        return call


def _every_fault(path: Path) -> Iterator[str]:
    for failing in range(1, 100):
        path.write_bytes(b"old")
        with pytest.MonkeyPatch.context() as monkeypatch:
            faults = Faults(monkeypatch, failing)
            try:
                write_atomically(path, b"new content")
            except OSError as error:
                assert error.errno == 5
                yield faults.failed
            else:
                assert not faults.failed
                return
    raise AssertionError("more system calls than there should be")


def test_storage_case_09_the_content_is_whole_and_a_retry_works_when_any_call_fails(
    path: Path, tally: Tally
) -> None:
    seen = []
    for failed in _every_fault(path):
        seen.append(failed)
        assert path.read_bytes() in (b"old", b"new content")
        if len(seen) <= 5:  # before the rename, the old content must remain
            assert path.read_bytes() == b"old"
        assert list(path.parent.iterdir()) == [path]
        write_atomically(path, b"retried")
        assert path.read_bytes() == b"retried"
    assert seen[:5] == ["open", "write", "fsync", "fstat", "replace"]
    assert seen[5:] == ["close", "open", "fsync", "close"]
    tally("failing system call", tried=len(seen))


def test_sweeping_removes_only_leftover_temporary_files(folder: Path) -> None:
    left_by_a_kill = folder / f".{NAME}.{'a' * 16}.tmp"
    written = folder / f".{NAME}.{'b' * 16}.tmp"
    link = folder / f".{NAME}.{'c' * 16}.tmp"
    foreign = folder / ".something.tmp"
    for file in (left_by_a_kill, written, foreign):
        file.write_bytes(b"half")
    link.symlink_to(foreign)
    assert {file.name for file in find_temporaries(folder)} == {left_by_a_kill.name, written.name}
    with written.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        remove_temporaries(folder)
        assert {file.name for file in folder.iterdir()} == {
            written.name,
            link.name,
            foreign.name,
        }
    remove_temporaries(folder)
    assert not written.exists()


def test_a_writer_holds_its_temporary_file_against_sweepers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def sweeping(descriptor: int) -> None:
        remove_temporaries(path.parent)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sweeping)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def _refuse(*_: object, **__: object) -> None:
    raise OSError(5, "Input/output error")


def _deny(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_a_temporary_file_left_by_a_failed_write_is_swept_later(path: Path) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "replace", _refuse)
        monkeypatch.setattr(os, "unlink", _deny)
        with pytest.raises(OSError, match="Input/output"):
            write_atomically(path, b"new")
    assert len(list(path.parent.iterdir())) == 2
    remove_temporaries(path.parent)
    assert list(path.parent.iterdir()) == [path]


def test_an_existing_temporary_file_is_not_overwritten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * 2 * count)
    taken = path.with_name(f".{path.name}.{'0' * 16}.tmp")
    taken.write_bytes(b"another's")
    with pytest.raises(FileExistsError):
        write_atomically(path, b"new")
    assert taken.read_bytes() == b"another's"
    assert path.read_bytes() == b"old"


def test_a_file_is_written_on_a_file_system_without_locks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", _refuse)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_an_atomic_write_flushes_the_disk_cache_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On macOS, fsync does not flush the disk cache; F_FULLFSYNC does."""
    flushed: list[tuple[bool, int]] = []

    def control(descriptor: int, what: int) -> None:
        flushed.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), what))

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    write_atomically(path, b"new")
    assert flushed == [(False, 51), (True, 51)]


UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOTTY, errno.ENOSYS)


@pytest.mark.parametrize("number", UNSUPPORTED)
def test_report_13_a_volume_without_the_full_flush_gets_the_plain_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Network volumes of macOS do not support F_FULLFSYNC."""
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", failing_with(number))
    finished = path.with_name("model.part")
    finished.write_bytes(b"weights")
    steps = steps_of_writes(monkeypatch)
    write_atomically(path, b"new")
    install_atomically(finished, path.with_name("model"))
    assert steps == [
        "write", "flush file", "rename", "flush directory",
        "flush file", "rename", "flush directory",
    ]  # fmt: skip
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("number", UNSUPPORTED)
def test_report_13_a_file_system_that_cannot_flush_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, full: bool
) -> None:
    """Some mounts of FUSE and CIFS cannot flush a directory, and some not even a file."""
    if full:
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
        monkeypatch.setattr(fcntl, "fcntl", failing_with(number))
    monkeypatch.setattr(os, "fsync", failing_with(number))
    write_atomically(path, b"new")
    flush_directory(path.parent)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("full", [False, True])
def test_report_13_a_failed_flush_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    if full:
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(
        fcntl if full else os, "fcntl" if full else "fsync", failing_with(errno.EIO)
    )
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def failing_with(number: int) -> Any:
    """Return a system call that fails with this error."""

    def call(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_only_a_directory_is_flushed_as_one(path: Path) -> None:
    flush_directory(path.parent)
    with pytest.raises(NotADirectoryError):
        flush_directory(path)
