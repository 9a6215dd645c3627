"""The directory of thread files; blocking, for worker threads only."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from koel_tui.paths import private_directory
from koel_tui.protocol import ChatState
from koel_tui.protocol.codec.encoded_state import EncodedState
from koel_tui.protocol.codec.state_codec import dumps, encode_state_bytes
from koel_tui.storage.errors import (
    DamagedThreadError,
    FutureSchemaError,
    NotAThreadError,
    StorageError,
)
from koel_tui.storage.files.conflicts import Conflicts
from koel_tui.storage.files.file_codec import Codec
from koel_tui.storage.files.file_names import parse_stem, tagged_path
from koel_tui.storage.files.journal import journal_path, remove_journal, remove_orphans
from koel_tui.storage.files.known_files import (
    Found,
    KnownFile,
    KnownFiles,
    digest,
    is_content,
    read_header,
    stamp_of,
)
from koel_tui.storage.files.quarantine import Quarantine
from koel_tui.storage.files.safe_open import check_regular, read_file
from koel_tui.storage.files.thread_file import ThreadFile, read_thread
from koel_tui.storage.files.thread_folder import ThreadFolder
from koel_tui.storage.files.thread_locks import ThreadLocks
from koel_tui.storage.files.thread_writer import ThreadWriter
from koel_tui.storage.migration import SCHEMA, Migrations
from koel_tui.storage.session_storage import Access, Summary
from koel_tui.storage.thread_head import Outline
from koel_tui.storage.thread_record import Header, Record, encode_state_with
from koel_tui.system.atomic_write import (
    Bytes,
    flush_directory,
    remove_temporaries,
    write_atomically,
)


class ThreadDirectory:
    """Reads and writes the thread files of one directory.

    Every write holds the thread's lock, and replaces or continues a file only if it has the content
    that was last loaded or saved here; other content is from another process. Small changes of a
    large thread go to its journal, which is joined with the file later. Calls for one thread must
    not overlap. In addition to their documented errors, all methods raise OSError.
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
        self._known = KnownFiles()
        self._writer = ThreadWriter(codec, self._known)
        self._encoded: dict[Path, EncodedState | None] = {}  # the last state of each open thread
        self._open_paths: dict[str, Path] = {}
        self._prepare_lock = threading.Lock()
        self._is_prepared = False

    def open(self, thread_id: str) -> Access:
        """Acquire the thread's lock until `close`, unless another process holds it."""
        self.close(thread_id)  # under its old path: the name depends on the key, which may change
        path = self.thread_path(thread_id)
        access = self._locks.open(parse_stem(path))
        self._open_paths[thread_id] = path
        self._encoded[path] = None
        return access

    def close(self, thread_id: str) -> None:
        """Release the thread's lock, also if the directory has become unusable."""
        path = self._open_paths.pop(thread_id, None)
        if path is not None:
            try:
                if self._locks.is_held(parse_stem(path)):
                    self.join_journal(thread_id, path)
            finally:
                self._encoded.pop(path, None)
                self._known.release(path)
                self._locks.close(parse_stem(path))

    def is_held_elsewhere(self, thread_id: str) -> bool:
        """Return whether another process holds the thread's lock at this moment."""
        return self._locks.is_held_elsewhere(parse_stem(self.thread_path(thread_id)))

    def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state; None if it is absent or unreadable."""
        path = self.thread_path(thread_id)
        file = read_thread(path)
        if file is None:
            return None
        try:
            record, state = self._validate(thread_id, path, file)
        except DamagedThreadError:
            return None  # reported in `quarantine`; other threads must still open
        self._known.complete(path, _known_file(file, record))
        self.conflicts.resolve(path)
        if self._locks.is_held(parse_stem(path)):
            self.join_journal(thread_id, path)
        return state

    def save(self, thread_id: str, state: ChatState, *, is_progress: bool = False) -> None:
        """Save `state` and keep the metadata.

        With `is_progress`, a state that will soon be followed by another one may be written to the
        journal. If another process changed the thread, `state` goes to a conflict file. Raises
        `StorageError`; nothing has changed then.
        """
        path = self.thread_path(thread_id)
        encoded = None
        if path in self._encoded:  # the thread is open

            def encode(state: ChatState) -> EncodedState:
                return EncodedState.of(state, self._encoded[path])

            self._encoded[path] = encoded = encode_state_with(encode, thread_id, state)
        text: Bytes = b""
        if encoded is None:
            text = encode_state_with(encode_state_bytes, thread_id, state)
        with self.hold_for_write(thread_id) as path:
            found = self._known.compare(path)
            header = self._known_header(thread_id, path)  # after `compare`, which may change it
            if found is Found.KNOWN and is_progress and self._append(path, state, encoded):
                return
            if encoded is not None:
                text = encoded.to_bytes()
            if found is Found.FOREIGN:
                self._save_to_conflict_file(path, header, state, text)
                return
            if found is Found.KNOWN:
                self._back_up(path, header)
            header, outline = header.for_save(self._clock()), Outline.of_state(state)
            self._writer.write(path, header, outline, text, encoded=encoded)
            self._folder.forget_summary(path)
            self.conflicts.resolve(path)

    def save_conflict(self, thread_id: str, state: ChatState) -> None:
        """Write `state` to a new conflict file of the thread. Raises `StorageError`."""
        text = encode_state_with(encode_state_bytes, thread_id, state)
        with self.hold_for_write(thread_id) as path:
            header = self._known_header(thread_id, path)
            conflict_path, base = self.conflicts.free_path(path, header)
            header, outline = base.for_save(self._clock()), Outline.of_state(state)
            self._writer.write(conflict_path, header, outline, text, as_known=False)
            self.conflicts.add(thread_id, conflict_path)

    def update_meta(self, thread_id: str, fields: Mapping[str, Any]) -> None:
        """Set or remove fields of the thread's metadata. Raises `StorageError`."""
        with self.hold_for_write(thread_id) as path:
            found = self._known.compare(path)
            if found is Found.ABSENT or not self._append_meta(path, found, fields):
                record, outline, state = self._record_and_state(thread_id, path, found)
                header = record.with_meta(fields, self._clock())
                known = self._known.get(path)
                encoded = None if known is None or found is not Found.KNOWN else known.encoded
                # If another process wrote this state, a later save must still not replace it.
                as_known = found is not Found.FOREIGN
                self._writer.write(path, header, outline, state, encoded=encoded, as_known=as_known)
            self._folder.forget_summary(path)

    def meta(self, thread_id: str) -> dict[str, Any]:
        """Return the thread's metadata; empty if it is absent or unreadable."""
        path = self.thread_path(thread_id)
        known = self._known.get(path) if self._known.compare(path) is Found.KNOWN else None
        if known is not None:
            return dict(known.header.meta)
        file = read_thread(path)
        if file is None:
            return {}
        try:
            record, _ = self._validate(thread_id, path, file)
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
            remove_journal(path)
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
        self._known.forget(path)
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
                remove_orphans(self.path)
                self._is_prepared = True
        self._codec.check_directory()

    def join_journal(self, thread_id: str, path: Path) -> None:
        """Write the changes in a thread's journal to its file; the caller holds the lock.

        After an error, both are as they were.
        """
        with suppress(StorageError, OSError):
            if not check_regular(journal_path(path)):
                return
            self._codec.check_directory()
            file = read_thread(path)
            if file is None or not file.records.contents:
                return
            known = self._known.get(path)
            as_known = known is not None and is_content(file, known)
            record, _ = self._validate(thread_id, path, file)
            header, text = record.header.next_generation(), dumps(record.state).encode("ascii")
            self._writer.write(path, header, record.outline(), text, as_known=as_known)
            self._folder.forget_summary(path)

    def _validate(self, thread_id: str, path: Path, file: ThreadFile) -> tuple[Record, ChatState]:
        """Return the record and the validated state in a thread's file and journal.

        Raises `DamagedThreadError` and copies the file to the quarantine if it is invalid.
        """
        try:
            record = self._folder.decode(file, path)
            state = record.chat_state()
        except NotAThreadError as error:
            self.quarantine.report(path, str(error), file.signature, file.data, file.journal)
            raise DamagedThreadError(thread_id, str(error)) from error
        self.quarantine.withdraw(path)
        return record, state

    def _known_header(self, thread_id: str, path: Path) -> Header:
        """Return the header of the last load or save here; a new one if there was none."""
        known = self._known.get(path)
        return Header(thread_id) if known is None else known.header

    def _append(self, path: Path, state: ChatState, encoded: EncodedState | None) -> bool:
        """Write the change to a state to the journal; return False if the file must be written."""
        known = self._known.get(path)
        if known is None or known.encoded is None or known.frame is None or encoded is None:
            return False
        if not self._writer.can_append(path, known):
            return False
        header, outline = known.header.for_save(self._clock()), Outline.of_state(state)
        change = encoded.change_from(known.encoded)
        change = replace(change, offset=change.offset + known.frame[0])
        changed = replace(known, header=header, outline=outline, encoded=encoded)
        self._writer.append(path, changed, text=change)
        self._folder.forget_summary(path)
        self.conflicts.resolve(path)
        return True

    def _append_meta(self, path: Path, found: Found, fields: Mapping[str, Any]) -> bool:
        """Write changed metadata to the journal; return False if the file must be written."""
        is_known = found is Found.KNOWN
        known = self._known.get(path) if is_known else read_header(self._codec, path)
        if known is None or not self._writer.can_append(path, known):
            return False
        header = known.header.with_meta(fields, self._clock())
        changed = replace(known, header=header)
        # If another process wrote this state, a later save must still not replace it.
        self._writer.append(path, changed, meta=dict(header.meta), as_known=is_known)
        return True

    def _record_and_state(
        self, thread_id: str, path: Path, found: Found
    ) -> tuple[Header, Outline, Bytes]:
        """Return the header and outline of a thread, and the JSON of its state.

        A state that was written here is returned as it is, because parsing a large one is slow and
        needs a multiple of its size. Raises `DamagedThreadError`.
        """
        file = None if found is Found.ABSENT else read_thread(path)
        if file is None:
            record = Record.empty(thread_id)
            return record.header, record.outline(), dumps(record.state).encode("ascii")
        known = self._known.get(path) if found is Found.KNOWN else None
        if known is not None and known.frame is not None and not known.journal_size:
            before, after = known.frame
            text = memoryview(self._codec.decode(parse_stem(path), file.data))
            return known.header, known.outline, text[before : len(text) - after]
        record, _ = self._validate(thread_id, path, file)
        self._back_up(path, record.header)
        return record.header, record.outline(), dumps(record.state).encode("ascii")

    def _save_to_conflict_file(
        self, path: Path, known: Header, state: ChatState, text: Bytes
    ) -> None:
        """Write a state to the thread's conflict file, because its file must not be replaced.

        Raises `DamagedThreadError` or `FutureSchemaError` if the file is damaged or from a newer
        version.
        """
        file = read_thread(path)
        if file is not None:
            current, _ = self._validate(known.id, path, file)
            if current.header.schema > SCHEMA:
                raise FutureSchemaError(current.header.id, current.header.schema)
        conflict_path, base = self.conflicts.save_path(path, known)
        header = base.for_save(self._clock())
        self._writer.write(conflict_path, header, Outline.of_state(state), text, as_known=False)
        self.conflicts.record_conflict(path, conflict_path, header)

    def _back_up(self, path: Path, header: Header) -> None:
        """Copy the file if it has an older schema, because the next write changes its schema."""
        if header.schema >= SCHEMA:
            return
        read = read_file(path)
        if read is not None:
            backup = tagged_path(path, f"schema-{header.schema}-{digest(read[0]).hex()[:12]}")
            if not backup.exists():
                write_atomically(backup, read[0])


def _known_file(file: ThreadFile, record: Record) -> KnownFile:
    """Return what is known of a file that was loaded."""
    return KnownFile(
        record.header,
        record.outline(),
        digest(file.data),
        file.records.check,
        file.records.size,
        stamp=stamp_of(file),
    )
