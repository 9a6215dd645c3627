"""Writes of a thread: its whole file, or a record of its journal."""

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

from koel_tui.protocol.codec.encoded_state import EncodedState, TextChange
from koel_tui.storage.errors import StorageError
from koel_tui.storage.files.file_codec import Codec
from koel_tui.storage.files.file_names import parse_stem
from koel_tui.storage.files.journal import (
    Change,
    encode_change,
    encode_record_line,
    first_check,
    journal_path,
    remove_journal,
)
from koel_tui.storage.files.known_files import (
    KnownFile,
    KnownFiles,
    digest,
    journal_status,
    stamp_after_record,
    stamp_after_write,
)
from koel_tui.storage.files.safe_open import is_too_large
from koel_tui.storage.migration import SCHEMA
from koel_tui.storage.thread_head import Outline, summary_fields
from koel_tui.storage.thread_record import Header, record_frame
from koel_tui.system.atomic_write import Bytes, append_durably, write_atomically

MIN_FILE_BYTES = 64 * 1024
"""The size from which a thread's file gets a journal; a smaller one is written as a whole."""
MAX_JOURNAL_BYTES = 1024 * 1024
"""The size from which a journal is joined with its file."""


class ThreadWriter:
    """Writes thread files and journals, and records them in `known`; the caller holds the lock."""

    def __init__(self, codec: Codec, known: KnownFiles) -> None:
        self._codec = codec
        self._known = known

    def write(
        self,
        path: Path,
        header: Header,
        outline: Outline,
        state: Bytes,
        *,
        encoded: EncodedState | None = None,
        as_known: bool = True,
    ) -> None:
        """Write a file; `as_known` allows a later save to replace it.

        `state` is the JSON of the state, and `encoded` the same for later changes of it. Raises
        `StorageError`.
        """
        before, after = (text.encode("ascii") for text in record_frame(header, outline, len(state)))
        # In parts, because each copy of a large thread needs its size in memory.
        data = self._codec.encode_parts(parse_stem(path), before, state, after)
        size = sum(map(len, data))
        if is_too_large(size):
            raise StorageError(
                f"Thread {header.id!r} was not saved: its {size / 1024**2:,.0f} MB are too "
                "large to be loaded again. It is still in memory; continue in a new thread."
            )
        frame = (len(before), len(after))
        check = first_check(*data)
        known = KnownFile(header, outline, digest(*data), check, frame=frame, encoded=encoded)
        if as_known:
            self._known.attempt(path, known)
        try:
            status = write_atomically(path, *data)
        except OSError as error:
            raise _not_saved(header, path, error) from error
        remove_journal(path)
        if as_known:
            self._known.complete(path, replace(known, stamp=stamp_after_write(path, status)))

    def can_append(self, path: Path, known: KnownFile) -> bool:
        """Return whether a change can be written to the journal of a file with this content.

        The file itself must be written if it is small or in an older schema, and if the journal is
        long, ends in a torn record or is not a regular file.
        """
        if known.header.schema != SCHEMA or known.journal_size > MAX_JOURNAL_BYTES:
            return False
        if path.lstat().st_size < MIN_FILE_BYTES:
            return False
        status = journal_status(path)
        if status is None:
            return known.journal_size == 0
        if not stat.S_ISREG(status.st_mode):
            return False
        return known.journal_size in (0, status.st_size)

    def append(
        self,
        path: Path,
        known: KnownFile,
        *,
        meta: dict[str, Any] | None = None,
        text: TextChange | None = None,
        as_known: bool = True,
    ) -> None:
        """Add a record to a journal of which `check` and `journal_size` of `known` are the end.

        The header, outline and state of `known` are those after the change, which is new metadata
        or a change of the text. Raises `StorageError`.
        """
        stem, header = parse_stem(path), known.header
        change = Change(header.gen, summary_fields(header.meta, known.outline), meta, text)
        content = encode_change(self._codec, stem, change)
        record, check = encode_record_line(known.check, content)
        before = known.stamp
        written = replace(
            known, check=check, journal_size=known.journal_size + len(record), stamp=None
        )
        if as_known:
            self._known.attempt(path, written)
        journal = journal_path(path)
        try:
            # The first record replaces a journal that does not belong to the file.
            is_first = known.journal_size == 0
            status = (write_atomically if is_first else append_durably)(journal, record)
        except OSError as error:
            raise _not_saved(header, journal, error) from error
        if as_known:
            stamp = stamp_after_record(path, before, status)
            self._known.complete(path, replace(written, stamp=stamp))


def _not_saved(header: Header, path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"Thread {header.id!r} was not saved to {path}: {error.strerror or error}. "
        "It is still in memory and will be saved again; free some space or check the disk."
    )
