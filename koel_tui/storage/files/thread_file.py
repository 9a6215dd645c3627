"""A thread's file together with its journal, as both were at one moment."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from koel_tui.protocol.codec.state_codec import dumps
from koel_tui.storage.errors import NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import FileEncoding
from koel_tui.storage.files.file_names import parse_stem
from koel_tui.storage.files.journal import (
    Change,
    Records,
    apply_changes,
    decode_change,
    first_check,
    journal_path,
    parse_records,
)
from koel_tui.storage.files.quarantine import Signature, file_signature
from koel_tui.storage.files.safe_open import read_file, read_start
from koel_tui.storage.migration import MIGRATIONS, Migrations
from koel_tui.storage.thread_head import HEAD_BYTES
from koel_tui.storage.thread_record import Header, Record, decode_record, encode_record

_TIMES = ("created", "updated")
"""The metadata that every change sets; other metadata is in a record only if it changed."""


@dataclass(frozen=True, slots=True)
class ThreadFile:
    """The bytes of a thread's file, or their start, and the journal that continues it."""

    data: bytes
    status: os.stat_result
    journal: bytes
    journal_status: os.stat_result | None
    records: Records

    @property
    def signature(self) -> Signature:
        """The signature of both files."""
        return join_signatures(
            file_signature(self.status),
            None if self.journal_status is None else file_signature(self.journal_status),
        )


def read_thread(path: Path, *, only_start: bool = False) -> ThreadFile | None:
    """Read a thread's file, or its first `HEAD_BYTES`, and its journal; None if it is absent.

    Raises `StorageError` if the file is not regular or too large; OSError.
    """
    # The journal is read first: if a save replaces the file in between, the file has everything
    # that the journal had, and the journal does not belong to it.
    journal = _read_journal(journal_path(path))
    read = read_start(path, HEAD_BYTES) if only_start else read_file(path)
    if read is None:
        return None
    data, status = read
    content, journal_status = (b"", None) if journal is None else journal
    records = parse_records(content, first_check(data))
    return ThreadFile(data, status, content, journal_status, records)


def join_signatures(file: Signature, journal: Signature | None) -> Signature:
    """Return the signature of a thread's file and journal; it changes if one of them changes."""
    if journal is None:
        return file
    device, inode, size, modified = file
    return (device, inode, size + journal[2], max(modified, journal[3]))


def decode_changes(encoding: FileEncoding, path: Path, file: ThreadFile) -> list[Change]:
    """Return the changes in a thread's journal. Raises `NotAThreadError`."""
    stem = parse_stem(path)
    return [decode_change(encoding, stem, content) for content in file.records.contents]


def decode_thread(
    encoding: FileEncoding, path: Path, file: ThreadFile, migrations: Migrations = MIGRATIONS
) -> Record:
    """Return the thread in a file and its journal. Raises `NotAThreadError`."""
    stem = parse_stem(path)
    text = encoding.decode(stem, file.data)
    changes = decode_changes(encoding, path, file)
    record = decode_record(apply_changes(text, changes), migrations)
    if encoding.stem(record.header.id) != stem:
        raise NotAThreadError("its id is that of another thread")
    return replace(record, header=changed_header(record.header, changes))


def joined_text(encoding: FileEncoding, path: Path, file: ThreadFile) -> bytes:
    """Return the JSON of a thread with the changes in its journal. Raises `NotAThreadError`.

    Without such changes it is not parsed, so it may also be another text.
    """
    if not file.records.contents:
        return encoding.decode(parse_stem(path), file.data)
    record = decode_thread(encoding, path, file)
    state = dumps(record.state)
    return encode_record(record.header, record.outline(), state).encode("ascii")


def changed_header(header: Header, changes: Sequence[Change]) -> Header:
    """Return the header of a thread after the changes in its journal."""
    meta = header.meta
    for change in changes:
        if change.meta is not None:
            meta = change.meta
        else:
            times = {key: change.summary[key] for key in _TIMES if key in change.summary}
            meta = {**meta, **times}
    return replace(header, gen=changes[-1].gen, meta=meta) if changes else header


def _read_journal(path: Path) -> tuple[bytes, os.stat_result] | None:
    try:
        return read_file(path)
    except StorageError:
        return None  # not a regular file, so it is not ours
