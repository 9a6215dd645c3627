"""The directory of thread files: blocking, called from worker threads only."""

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from koel_tui.paths import private_directory
from koel_tui.protocol import ChatState
from koel_tui.protocol.codec import dumps
from koel_tui.storage.atomic import flush_directory, sweep, write_atomically
from koel_tui.storage.errors import DamagedThreadError, StorageError
from koel_tui.storage.quarantine import Quarantine, Signature, signature_of
from koel_tui.storage.record import (
    Header,
    NotAThreadError,
    Record,
    decode_record,
    encode_chat_state,
    encode_record,
)
from koel_tui.storage.storage import Summary

_NAME = re.compile(r"t-[0-9a-f]{32}\.json")


def file_name(thread_id: str) -> str:
    """Return the name of a thread's file; any string gives a harmless one."""
    digest = hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"t-{digest[:32]}.json"


class ThreadDirectory:
    """Reads and writes the files of one directory and looks at no others.

    Calls for one thread must not overlap. What was read is remembered by the file's signature, so
    that a save need not read what it replaces and a list reads only what has changed.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self.path = path
        self.quarantine = Quarantine(path)
        self._clock = clock
        self._headers: dict[str, tuple[Signature, Header]] = {}
        self._summaries: dict[str, tuple[Signature, Summary]] = {}
        self._opening = threading.Lock()
        self._opened = False

    def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state, or None when there is none that can be read."""
        try:
            found = self._thread(thread_id)
        except DamagedThreadError:
            return None  # reported in `quarantine`; the others must open all the same
        return None if found is None else found[1]

    def save(self, thread_id: str, state: ChatState) -> None:
        """Write `state`, keeping the thread's meta. Raises StorageError: nothing has changed."""
        header = self._header(thread_id).saved(self._clock())
        self._write(header, encode_chat_state(thread_id, state))

    def update_meta(self, thread_id: str, fields: Mapping[str, Any]) -> None:
        """Set or remove fields of the thread's meta. Raises StorageError."""
        found = self._thread(thread_id)
        record = Record.empty(thread_id) if found is None else found[0]
        self._write(record.header.described(fields, self._clock()), dumps(record.state))

    def meta(self, thread_id: str) -> dict[str, Any]:
        """Return the thread's meta; empty when there is none that can be read."""
        try:
            return dict(self._header(thread_id).meta)
        except DamagedThreadError:
            return {}  # reported in `quarantine`

    def delete(self, thread_id: str) -> None:
        """Remove the thread's file for good. Raises StorageError."""
        path = self._path(thread_id)
        try:
            if self._signature(path) is None:
                return
            path.unlink(missing_ok=True)
            flush_directory(self.path)
        except OSError as error:
            raise StorageError(
                f"Cannot delete thread {thread_id!r} at {path}: {error.strerror or error}."
            ) from error
        self._headers.pop(path.name, None)
        self._summaries.pop(path.name, None)
        self.quarantine.release(path)

    def summaries(self) -> Iterator[Summary]:
        """Yield a summary of every thread that can be read, in no order.

        For speed messages are counted, not checked: damage inside one shows when it is loaded.
        """
        self._open()
        with os.scandir(self.path) as entries:
            names = [
                entry.name
                for entry in entries
                if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            ]
        for name in names:
            summary = self._summary(self.path / name)
            if summary is not None:
                yield summary

    def _open(self) -> None:
        with self._opening:
            if not self._opened:
                private_directory(self.path)
                sweep(self.path)
                if (self.path / "quarantine").is_dir():
                    sweep(self.path / "quarantine")
                self._opened = True

    def _path(self, thread_id: str) -> Path:
        self._open()
        return self.path / file_name(thread_id)

    def _thread(self, thread_id: str) -> tuple[Record, ChatState] | None:
        """Return the thread as it is on the disk, checked to its last message; None if absent."""
        path = self._path(thread_id)
        try:
            read = _read(path)
        except OSError as error:
            raise StorageError(
                f"Cannot read thread {thread_id!r} at {path}: {error.strerror or error}. "
                "Check the disk and the permissions, then open it again."
            ) from error
        if read is None:
            return None
        data, status = read
        signature = signature_of(status)
        try:
            record = _decode(data, path)
            state = record.chat_state()
        except NotAThreadError as error:
            self.quarantine.take(path, str(error), signature, data)
            raise DamagedThreadError(thread_id, str(error)) from error
        self.quarantine.release(path)
        self._headers[path.name] = (signature, record.header)
        return record, state

    def _header(self, thread_id: str) -> Header:
        path = self._path(thread_id)
        known = self._headers.get(path.name)
        if known is not None and known[0] == self._signature(path):
            return known[1]
        found = self._thread(thread_id)
        return Header(thread_id) if found is None else found[0].header

    def _write(self, header: Header, state: str) -> None:
        path = self._path(header.id)
        try:
            private_directory(self.path)
            status = write_atomically(path, encode_record(header, state).encode("ascii"))
        except OSError as error:
            raise StorageError(
                f"Thread {header.id!r} was not saved to {path}: {error.strerror or error}. "
                "It is still in memory and will be saved again; make room or check the disk."
            ) from error
        self._headers[path.name] = (signature_of(status), header)

    def _signature(self, path: Path) -> Signature | None:
        """Return the file's signature, None when absent. Raises when it is no file of ours."""
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(_not_ours(path))
        return signature_of(status)

    def _summary(self, path: Path) -> Summary | None:
        """Return the summary of a file, or None and a report when it cannot be read."""
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None  # deleted since it was listed
        signature = signature_of(status)
        if self.quarantine.knows(path, signature):
            return None
        known = self._summaries.get(path.name)
        if known is not None and known[0] == signature:
            return known[1]
        data = None
        try:
            read = _read(path)
            if read is None:
                return None
            data, status = read
            signature = signature_of(status)
            summary = _decode(data, path).summary(datetime.fromtimestamp(status.st_mtime, UTC))
        except (NotAThreadError, StorageError, OSError) as error:
            self.quarantine.take(path, str(error), signature, data)
            return None
        self._summaries[path.name] = (signature, summary)
        return summary


def _decode(data: bytes, path: Path) -> Record:
    record = decode_record(data)
    if file_name(record.header.id) != path.name:
        raise NotAThreadError("the id in it is another thread's")
    return record


def _read(path: Path) -> tuple[bytes, os.stat_result] | None:
    """Return a file's bytes and status, None when absent. Raises StorageError for a link."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise StorageError(_not_ours(path)) from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(_not_ours(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(), status
    finally:
        os.close(descriptor)


def _not_ours(path: Path) -> str:
    return f"{path} is not a plain file; links are neither followed nor replaced. Move it away."
