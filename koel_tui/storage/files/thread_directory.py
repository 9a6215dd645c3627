"""The directory of thread files; blocking, for worker threads only."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from koel_tui.paths import private_directory
from koel_tui.protocol import ChatState
from koel_tui.protocol.codec.state_codec import StateEncoder, dumps, encode_state_bytes
from koel_tui.storage.errors import (
    DamagedThreadError,
    FutureSchemaError,
    NotAThreadError,
    StorageError,
)
from koel_tui.storage.files.conflicts import Conflicts
from koel_tui.storage.files.file_codec import Codec
from koel_tui.storage.files.file_names import parse_stem, tagged_path
from koel_tui.storage.files.quarantine import Quarantine, file_signature
from koel_tui.storage.files.safe_open import check_regular, is_too_large, read_file
from koel_tui.storage.files.thread_folder import ThreadFolder
from koel_tui.storage.files.thread_locks import ThreadLocks
from koel_tui.storage.migration import SCHEMA, Migrations
from koel_tui.storage.session_storage import Access, Summary
from koel_tui.storage.thread_record import Header, Record, encode_state_with, record_frame
from koel_tui.system.atomic_write import (
    Bytes,
    flush_directory,
    remove_temporaries,
    write_atomically,
)


@dataclass(frozen=True, slots=True)
class _KnownFile:
    """The digest and header of a file that this process loaded or wrote.

    `frame` is the number of bytes before and after the state, only for a file that was written.
    """

    digest: bytes
    header: Header
    frame: tuple[int, int] | None = None


class ThreadDirectory:
    """Reads and writes the thread files of one directory.

    Every write holds the thread's lock, reads the file that it would replace, and replaces it only
    if it has the content that was last loaded or saved here; other content is from another process.
    Calls for one thread must not overlap. In addition to their documented errors, all methods raise
    OSError.
    """

    def __init__(
        self, path: Path, codec: Codec, clock: Callable[[], datetime], migrations: Migrations
    ) -> None:
        self.path = path
        self.quarantine = Quarantine(path)
        self.conflicts = Conflicts()
        self._codec = codec
        self._clock = clock
        self._migrations = migrations
        self._folder = self.folder_at(".")
        self._locks = ThreadLocks(path)
        self._known: dict[Path, _KnownFile] = {}
        self._attempted: dict[Path, _KnownFile] = {}  # by writes that raised an error
        self._encoders: dict[Path, StateEncoder] = {}
        self._open_paths: dict[str, Path] = {}
        self._prepare_lock = threading.Lock()
        self._is_prepared = False

    def open(self, thread_id: str) -> Access:
        """Acquire the thread's lock until `close`, unless another process holds it."""
        self.close(thread_id)  # under its old path: the name depends on the key, which may change
        path = self.thread_path(thread_id)
        access = self._locks.open(parse_stem(path))
        self._open_paths[thread_id] = path
        self._encoders[path] = StateEncoder()
        return access

    def close(self, thread_id: str) -> None:
        """Release the thread's lock, also if the directory has become unusable."""
        path = self._open_paths.pop(thread_id, None)
        if path is not None:
            self._encoders.pop(path, None)
            self._locks.close(parse_stem(path))

    def is_held_elsewhere(self, thread_id: str) -> bool:
        """Return whether another process holds the thread's lock at this moment."""
        return self._locks.is_held_elsewhere(parse_stem(self.thread_path(thread_id)))

    def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state; None if it is absent or unreadable."""
        path = self.thread_path(thread_id)
        data = _read_content(path)
        if data is None:
            return None
        try:
            record, state = self._validate(thread_id, path, data)
        except DamagedThreadError:
            return None  # reported in `quarantine`; other threads must still open
        self._known[path] = _KnownFile(_digest(data), record.header)
        self.conflicts.resolve(path)
        return state

    def save(self, thread_id: str, state: ChatState) -> None:
        """Save `state` and keep the metadata.

        If another process changed the thread, `state` goes to a conflict file. Raises
        `StorageError`; nothing has changed then.
        """
        encoder = self._encoders.get(self.thread_path(thread_id))
        encode: Callable[[ChatState], Bytes] = encode_state_bytes
        if encoder is not None:
            encode = encoder.encode_bytes
        text = encode_state_with(encode, thread_id, state)
        with self.hold_for_write(thread_id) as path:
            data = _read_content(path)
            foreign = None if data is None or self._is_known(path, data) else data
            header = self._known_header(thread_id, path)  # after `_is_known`, which may change it
            if foreign is None:
                self._back_up(path, header, data)
                self._write(path, header.for_save(self._clock()), text, as_known=True)
                self.conflicts.resolve(path)
            else:
                self._save_to_conflict_file(path, header, text, foreign)

    def save_conflict(self, thread_id: str, state: ChatState) -> None:
        """Write `state` to a new conflict file of the thread. Raises `StorageError`."""
        text = encode_state_with(encode_state_bytes, thread_id, state)
        with self.hold_for_write(thread_id) as path:
            header = self._known_header(thread_id, path)
            conflict_path, base = self.conflicts.free_path(path, header)
            self._write(conflict_path, base.for_save(self._clock()), text, as_known=False)
            self.conflicts.add(thread_id, conflict_path)

    def update_meta(self, thread_id: str, fields: Mapping[str, Any]) -> None:
        """Set or remove fields of the thread's metadata. Raises `StorageError`."""
        with self.hold_for_write(thread_id) as path:
            data = _read_content(path)
            may_replace = data is None or self._is_known(path, data)
            header, state = self._header_and_state(thread_id, path, data)
            del data  # a large thread, whose state would be in memory twice
            header = header.with_meta(fields, self._clock())
            # If another process wrote this state, a later save must still not replace it.
            self._write(path, header, state, as_known=may_replace)

    def meta(self, thread_id: str) -> dict[str, Any]:
        """Return the thread's metadata; empty if it is absent or unreadable."""
        path = self.thread_path(thread_id)
        data = _read_content(path)
        if data is None:
            return {}
        if self._is_known(path, data):
            return dict(self._known[path].header.meta)
        try:
            record, _ = self._validate(thread_id, path, data)
        except DamagedThreadError:
            return {}  # reported in `quarantine`
        return dict(record.header.meta)

    def delete(self, thread_id: str) -> None:
        """Delete the thread's file and its backups permanently. Raises `StorageError`."""
        if not self.exists(thread_id):
            return
        with self.hold_for_write(thread_id) as path:
            for backup in self.path.glob(f"{path.stem}.schema-*{path.suffix}"):
                backup.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            flush_directory(self.path)
            self.forget(path)

    def summaries(self, limit: int | None = None) -> list[Summary]:
        """Return the readable threads, most recently changed files first, at most `limit`."""
        self.prepare()
        return list(islice(self._folder.summaries(), limit))

    def exists(self, thread_id: str) -> bool:
        """Return whether the thread's file exists. Raises `StorageError` if it is not regular."""
        return check_regular(self.thread_path(thread_id))

    def thread_path(self, thread_id: str) -> Path:
        """Prepare the directory; return the path of the thread's file, which need not exist."""
        self.prepare()
        return self._folder.thread_path(thread_id)

    @contextmanager
    def hold_for_write(self, thread_id: str) -> Iterator[Path]:
        """Hold the thread's lock for the block; yield the path of its file."""
        path = self.thread_path(thread_id)
        private_directory(self.path)  # created again if it was deleted
        with self._locks.hold(parse_stem(path), thread_id):
            self._codec.check_directory()  # it may have been encrypted while this waited
            yield path

    def folder_at(self, folder: str) -> ThreadFolder:
        """Return a reader of the threads in a subfolder, with the directory's codec."""
        return ThreadFolder(self.path / folder, self._codec, self.quarantine, self._migrations)

    def forget(self, path: Path) -> None:
        """Drop the cached data of a deleted file."""
        self._known.pop(path, None)
        self._attempted.pop(path, None)
        self._folder.forget(path)
        self.conflicts.resolve(path)

    def prepare(self) -> None:
        """Create and clean up the directory once. Raises `StorageError` for another encoding."""
        with self._prepare_lock:  # worker threads call this at the same time
            if not self._is_prepared:
                private_directory(self.path)
                for folder in (self.path, self.path / "quarantine", self.path / "trash"):
                    if folder.is_dir():
                        remove_temporaries(folder)
                self._is_prepared = True
        self._codec.check_directory()

    def _validate(self, thread_id: str, path: Path, data: bytes) -> tuple[Record, ChatState]:
        """Return the record and the validated state in the bytes of a thread's file.

        Raises `DamagedThreadError` and copies the file to the quarantine if it is invalid.
        """
        try:
            record = self._folder.decode(data, path)
            state = record.chat_state()
        except NotAThreadError as error:
            self.quarantine.report(path, str(error), file_signature(path.lstat()), data)
            raise DamagedThreadError(thread_id, str(error)) from error
        self.quarantine.withdraw(path)
        return record, state

    def _is_known(self, path: Path, data: bytes) -> bool:
        """Return whether `data`, the file's content, was last loaded or saved here.

        A write that raised an error may have replaced the file. If the file has the content of
        that write, the write is recorded as successful.
        """
        digest = _digest(data)
        attempted = self._attempted.get(path)
        if attempted is not None and attempted.digest == digest:
            self._known[path] = attempted
        known = self._known.get(path)
        return known is not None and known.digest == digest

    def _known_header(self, thread_id: str, path: Path) -> Header:
        """Return the header of the last load or save here; a new one if there was none."""
        known = self._known.get(path)
        return Header(thread_id) if known is None else known.header

    def _header_and_state(
        self, thread_id: str, path: Path, data: bytes | None
    ) -> tuple[Header, Bytes]:
        """Return the header and the JSON of the state in `data`, the content of a thread's file.

        A state that was written here is returned as it is, because parsing a large one is slow and
        needs a multiple of its size. Raises `DamagedThreadError`.
        """
        if data is None:
            record = Record.empty(thread_id)
            return record.header, dumps(record.state).encode("ascii")
        known = self._known[path] if self._is_known(path, data) else None
        if known is not None and known.frame is not None:
            before, after = known.frame
            text = memoryview(self._codec.decode(parse_stem(path), data))
            return known.header, text[before : len(text) - after]
        record, _ = self._validate(thread_id, path, data)
        self._back_up(path, record.header, data)
        return record.header, dumps(record.state).encode("ascii")

    def _save_to_conflict_file(self, path: Path, known: Header, text: Bytes, data: bytes) -> None:
        """Write a state to the thread's conflict file, because `data` must not be replaced.

        Raises `DamagedThreadError` or `FutureSchemaError` if `data` is damaged or from a newer
        version.
        """
        current, _ = self._validate(known.id, path, data)
        if current.header.schema > SCHEMA:
            raise FutureSchemaError(current.header.id, current.header.schema)
        conflict_path, base = self.conflicts.save_path(path, known)
        header = base.for_save(self._clock())
        self._write(conflict_path, header, text, as_known=False)
        self.conflicts.record_conflict(path, conflict_path, header)

    def _back_up(self, path: Path, header: Header, data: bytes | None) -> None:
        """Copy the file if it has an older schema, because the next write changes its schema."""
        if data is None or header.schema >= SCHEMA:
            return
        backup = tagged_path(path, f"schema-{header.schema}-{_digest(data).hex()[:12]}")
        if not backup.exists():
            write_atomically(backup, data)

    def _write(self, path: Path, header: Header, state: Bytes, *, as_known: bool) -> None:
        """Write a file; `as_known` allows a later save to replace it."""
        before, after = (text.encode("ascii") for text in record_frame(header))
        # In parts, because each copy of a large thread needs its size in memory.
        data = self._codec.encode_parts(parse_stem(path), before, state, after)
        size = sum(map(len, data))
        if is_too_large(size):
            raise StorageError(
                f"Thread {header.id!r} was not saved: its {size / 1024**2:,.0f} MB are too "
                "large to be loaded again. It is still in memory; continue in a new thread."
            )
        written = _KnownFile(_digest(*data), header, (len(before), len(after)))
        if as_known:
            self._attempted[path] = written
        try:
            write_atomically(path, *data)
        except OSError as error:
            raise StorageError(
                f"Thread {header.id!r} was not saved to {path}: {error.strerror or error}. "
                "It is still in memory and will be saved again; free some space or check the disk."
            ) from error
        self._folder.forget_summary(path)
        if as_known:
            self._known[path] = written
            self._attempted.pop(path, None)


def _read_content(path: Path) -> bytes | None:
    read = read_file(path)
    return None if read is None else read[0]


def _digest(*parts: Bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
