"""The states of the disk that a loss of power can leave after the recorded system calls."""

import itertools
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from koel_tui.storage.files.journal import encode_record_line, parse_records
from koel_tui.system.atomic_write import append_durably, write_atomically
from tests.hostile_summary import Tally

OLD, NEW = b"old content", b"the new content"


@dataclass(frozen=True)
class Made:
    inode: int
    name: str


@dataclass(frozen=True)
class Written:
    inode: int
    data: bytes


@dataclass(frozen=True)
class Emptied:
    inode: int


@dataclass(frozen=True)
class Renamed:
    inode: int
    source: str
    target: str


@dataclass(frozen=True)
class FileFlushed:
    inode: int


@dataclass(frozen=True)
class FolderFlushed:
    pass


Step = Made | Written | Emptied | Renamed | FileFlushed | FolderFlushed


class Recorder:
    """Records the system calls of a writer and executes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[Step] = []
        real_open, real_write, real_fsync = os.open, os.write, os.fsync
        real_replace = os.replace

        def opening(path: Any, flags: int, *more: Any, **named: Any) -> int:
            fresh = bool(flags & os.O_CREAT) and not Path(path).exists()
            descriptor = real_open(path, flags, *more, **named)
            inode = os.fstat(descriptor).st_ino
            if fresh:
                self.steps.append(Made(inode, Path(path).name))
            elif flags & os.O_TRUNC:
                self.steps.append(Emptied(inode))
            return descriptor

        def writing(descriptor: int, data: Any) -> int:
            done = real_write(descriptor, data)
            self.steps.append(Written(os.fstat(descriptor).st_ino, bytes(data[:done])))
            return done

        def flushing(descriptor: int) -> None:
            status = os.fstat(descriptor)
            folder = stat.S_ISDIR(status.st_mode)
            self.steps.append(FolderFlushed() if folder else FileFlushed(status.st_ino))
            real_fsync(descriptor)

        def replacing(source: Any, target: Any, **named: Any) -> None:
            inode = Path(source).stat().st_ino
            self.steps.append(Renamed(inode, Path(source).name, Path(target).name))
            real_replace(source, target, **named)

        monkeypatch.setattr(os, "open", opening)
        monkeypatch.setattr(os, "write", writing)
        monkeypatch.setattr(os, "fsync", flushing)
        monkeypatch.setattr(os, "replace", replacing)


def contents_left(steps: list[Step], inode: int, before: bytes) -> set[bytes]:
    """Return every possible content of a file: any part of the unflushed data may be lost."""
    states = {before}
    content = flushed = before
    for step in steps:
        if isinstance(step, FileFlushed) and step.inode == inode:
            states, flushed = {content}, content
        elif isinstance(step, Emptied) and step.inode == inode:
            content = flushed = b""
            states |= {content}
        elif isinstance(step, Written) and step.inode == inode:
            longer = content + step.data
            states |= {longer[:size] for size in range(len(content), len(longer) + 1)}
            # The new length was written, but not the unflushed data.
            states |= {flushed.ljust(len(longer), b"\0")}
            content = longer
    return states


def names_left(steps: list[Step], before: dict[str, int]) -> Iterator[dict[str, int]]:
    """Yield every possible directory: any of the unflushed changes may be lost."""
    settled, loose = dict(before), list[Step]()
    for step in steps:
        if isinstance(step, FolderFlushed):
            for done in loose:
                _apply(settled, done)
            loose = []
        elif isinstance(step, Made | Renamed):
            loose.append(step)
    for size in range(len(loose) + 1):
        for kept in itertools.combinations(loose, size):
            names = dict(settled)
            for step in kept:
                _apply(names, step)
            yield names


def _apply(names: dict[str, int], step: Step) -> None:
    if isinstance(step, Made):
        names[step.name] = step.inode
    elif isinstance(step, Renamed):
        names.pop(step.source, None)
        names[step.target] = step.inode


def left_after_power_loss(steps: list[Step], name: str, inode: int) -> set[bytes | None]:
    """Return all possible contents of the file `name`; None for a missing file."""
    left: set[bytes | None] = set()
    for names in names_left(steps, {name: inode}):
        there = names.get(name)
        if there is None:
            left.add(None)
        else:
            left |= contents_left(steps, there, OLD if there == inode else b"")
    return left


def record(path: Path, writer: Callable[[Path, bytes], object]) -> tuple[list[Step], int]:
    path.write_bytes(OLD)
    inode = path.stat().st_ino
    with pytest.MonkeyPatch.context() as monkeypatch:
        recorder = Recorder(monkeypatch)
        writer(path, NEW)
    return recorder.steps, inode


def verdict(path: Path, writer: Callable[[Path, bytes], object]) -> tuple[bool, bool]:
    """Return whether a loss of power can tear the file, and whether it can undo the write."""
    steps, inode = record(path, writer)
    torn = any(
        left_after_power_loss(steps[:done], path.name, inode) - {OLD, NEW}
        for done in range(len(steps) + 1)
    )
    return torn, left_after_power_loss(steps, path.name, inode) != {NEW}


def states(path: Path, writer: Callable[[Path, bytes], object]) -> int:
    """Return the number of states that a loss of power can leave, summed over a writer's steps."""
    steps, inode = record(path, writer)
    return sum(
        len(left_after_power_loss(steps[:done], path.name, inode)) for done in range(len(steps) + 1)
    )


def over_the_old(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)


def renamed_unflushed(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, data)
    os.close(descriptor)
    os.replace(temporary, path)  # noqa: PTH105 - the call that is recorded


def folder_unflushed(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)
    os.replace(temporary, path)  # noqa: PTH105 - the call that is recorded


def test_storage_case_09_a_loss_of_power_leaves_the_old_or_the_new(
    tmp_path: Path, tally: Tally
) -> None:
    assert verdict(tmp_path / "t.json", write_atomically) == (False, False)
    tally("power loss", tried=states(tmp_path / "t.json", write_atomically))


def test_storage_case_09_a_loss_of_power_leaves_the_old_or_the_new_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    path = tmp_path / "t.journal"
    record, check = encode_record_line("start", b"first")
    following, _ = encode_record_line(check, b"second")
    path.write_bytes(record)
    inode = path.stat().st_ino
    recorder = Recorder(monkeypatch)
    append_durably(path, following)
    for done in range(len(recorder.steps) + 1):
        left = contents_left(recorder.steps[:done], inode, record)
        found = {parse_records(each, "start").contents for each in left}
        assert found <= {(b"first",), (b"first", b"second")}
    assert found == {(b"first", b"second")}
    tally("power loss", tried=len(recorder.steps) + 1)


@pytest.mark.parametrize(
    ("writer", "expected"),
    [(over_the_old, (True, False)), (renamed_unflushed, (True, True)),
     (folder_unflushed, (False, True))],
)  # fmt: skip
def test_the_enumeration_detects_writers_that_flush_too_little(
    tmp_path: Path, writer: Callable[[Path, bytes], object], expected: tuple[bool, bool]
) -> None:
    assert verdict(tmp_path / "t.json", writer) == expected
