"""The thread files as this process last loaded or wrote them, to detect changes of others."""

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

from koel_tui.protocol.codec.encoded_state import EncodedState
from koel_tui.storage.errors import NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import FileEncoding
from koel_tui.storage.files.file_names import parse_stem
from koel_tui.storage.files.journal import first_check, journal_path
from koel_tui.storage.files.safe_open import read_start
from koel_tui.storage.files.thread_file import (
    ThreadFile,
    changed_header,
    decode_changes,
    read_thread,
)
from koel_tui.storage.thread_head import HEAD_BYTES, Outline, find_head, parse_head, parse_meta
from koel_tui.storage.thread_record import Header
from koel_tui.system.atomic_write import Bytes

FileStatus = tuple[int, int, int, int, int]
"""The device, inode, size, mtime and ctime (ns) of a file."""


class Found(Enum):
    """The state of a thread's file, compared with what this process last loaded or wrote."""

    ABSENT = auto()
    KNOWN = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class Stamp:
    """The status of a thread's file and of its journal, and the check of the file's start.

    The start has the generation, so that two writes with the same time and size differ.
    """

    file: FileStatus
    start: str
    journal: FileStatus | None


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A thread's file and journal that this process loaded or wrote.

    `digest` is that of the file, `check` the last check of the journal, which has `journal_size`
    bytes. `frame` is the number of bytes before and after the state, only for a file that was
    written; `encoded` is the state in file and journal, only if it was written while the thread was
    open. `stamp` is None if the status of the files is not known.
    """

    header: Header
    outline: Outline
    digest: bytes
    check: str
    journal_size: int = 0
    frame: tuple[int, int] | None = None
    encoded: EncodedState | None = None
    stamp: Stamp | None = None

    def has_content_of(self, other: "KnownFile") -> bool:
        """Return whether both are the same content of file and journal."""
        return (self.digest, self.check) == (other.digest, other.check)


class KnownFiles:
    """The files of the threads that this process loaded or wrote.

    A write that raised an error may have changed the files; it is kept in addition to the last
    successful one.
    """

    def __init__(self) -> None:
        self._known: dict[Path, KnownFile] = {}
        self._attempted: dict[Path, KnownFile] = {}

    def get(self, path: Path) -> KnownFile | None:
        """Return what was last loaded or written; None if there was nothing."""
        return self._known.get(path)

    def attempt(self, path: Path, written: KnownFile) -> None:
        """Record a write before it begins."""
        self._attempted[path] = written

    def complete(self, path: Path, known: KnownFile) -> None:
        """Record a load, or a write that succeeded."""
        self._known[path] = known
        self._attempted.pop(path, None)

    def forget(self, path: Path) -> None:
        """Drop what is known about a file that was deleted."""
        self._known.pop(path, None)
        self._attempted.pop(path, None)

    def release(self, path: Path) -> None:
        """Drop the encoded state, which is needed only while the thread is open."""
        for files in (self._known, self._attempted):
            if path in files:
                files[path] = replace(files[path], encoded=None)

    def compare(self, path: Path) -> Found:
        """Compare a thread's file and journal with what is known. Raises `StorageError`, OSError.

        Only if the status of one of them has changed, their content is read and compared.
        """
        stamp = _stamp(path)
        if stamp is None:
            return Found.ABSENT
        known = self._known.get(path)
        if known is not None and known.stamp == stamp and path not in self._attempted:
            return Found.KNOWN
        file = read_thread(path)
        if file is None:
            return Found.ABSENT
        for candidate in (self._attempted.get(path), known):
            if candidate is not None and is_content(file, candidate):
                self.complete(path, replace(candidate, stamp=stamp_of(file)))
                return Found.KNOWN
        return Found.FOREIGN


def read_header(encoding: FileEncoding, path: Path) -> KnownFile | None:
    """Return the header and outline of a thread without parsing its state, which may be large.

    The unknown keys are left out. None if the thread has no head, or no valid one. Raises
    `StorageError`, OSError.
    """
    file = read_thread(path)
    if file is None:
        return None
    stem = parse_stem(path)
    try:
        text = encoding.decode(stem, file.data)
        changes = decode_changes(encoding, path, file)
    except NotAThreadError:
        return None
    start = find_head(text[:HEAD_BYTES])
    head = None if start is None else parse_head(start, len(text))
    meta = None if start is None else parse_meta(text, len(start))
    if head is None or meta is None or encoding.stem(head.id) != stem:
        return None
    if changes:
        head = head.with_fields(changes[-1].summary)
    header = changed_header(Header(head.id, head.gen, meta=meta), changes)
    records = file.records
    return KnownFile(header, head.outline, b"", records.check, records.size)


def is_content(file: ThreadFile, known: KnownFile) -> bool:
    """Return whether a file and its journal have the known content."""
    return file.records.check == known.check and digest(file.data) == known.digest


def stamp_of(file: ThreadFile) -> Stamp:
    """Return the stamp of a file that was read as a whole."""
    journal = None if file.journal_status is None else _status(file.journal_status)
    return Stamp(_status(file.status), first_check(file.data), journal)


def stamp_after_write(path: Path, written: os.stat_result) -> Stamp | None:
    """Return the stamp of a thread's file that was written just now, without a journal.

    `written` is its status before the rename, which changes its time. None if another process
    replaced it since, or if it cannot be read; then its content is compared at the next write.
    """
    try:
        stamp = _stamp(path)
    except (OSError, StorageError):
        return None
    is_same = stamp is not None and stamp.file[:2] == (written.st_dev, written.st_ino)
    return stamp if is_same else None


def stamp_after_record(path: Path, before: Stamp | None, written: os.stat_result) -> Stamp | None:
    """Return the stamp of a file to whose journal a record was added just now, like the above."""
    try:
        status = journal_status(path)
    except OSError:
        return None
    if before is None or status is None or status.st_ino != written.st_ino:
        return None
    return replace(before, journal=_status(status))


def digest(*parts: Bytes) -> bytes:
    """Return the digest of the content of a file."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.digest()


def journal_status(path: Path) -> os.stat_result | None:
    """Return the status of the journal of a thread's file, None if there is none."""
    try:
        return journal_path(path).lstat()
    except FileNotFoundError:
        return None


def _stamp(path: Path) -> Stamp | None:
    """Return the stamp of the files at this moment; None if the thread's file is absent."""
    read = read_start(path, HEAD_BYTES)
    if read is None:
        return None
    start, status = read
    journal = journal_status(path)
    is_ours = journal is not None and stat.S_ISREG(journal.st_mode)
    return Stamp(
        _status(status), first_check(start), _status(journal) if journal and is_ours else None
    )


def _status(status: os.stat_result) -> FileStatus:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
