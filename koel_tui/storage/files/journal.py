"""The journal of a thread: a separate file with the changes since its file was written.

A journal has a record for each change. Each record has a check over its content and the check of
the record before it; the first one continues the check of the thread's file. So the records after
a torn one are ignored, and a journal of another generation of the thread's file as a whole.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from koel_tui.protocol.codec.encoded_state import TextChange
from koel_tui.protocol.codec.state_codec import dumps
from koel_tui.storage.errors import NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import FileEncoding
from koel_tui.storage.files.file_names import JOURNAL_SUFFIX, THREAD_SUFFIXES, is_thread_file
from koel_tui.storage.files.safe_open import check_regular
from koel_tui.storage.thread_head import HEAD_BYTES, is_count, is_summary
from koel_tui.system.atomic_write import Bytes

_CHECK_LENGTH = 16
_SIZE_LENGTH = 8
_PREFIX_LENGTH = _CHECK_LENGTH + _SIZE_LENGTH + 2


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a thread: its new generation, and what a list shows of it from then on.

    `meta` is the new metadata, `text` the change of the JSON in the thread's file; None for a part
    that did not change.
    """

    gen: int
    summary: Mapping[str, Any]
    meta: Mapping[str, Any] | None = None
    text: TextChange | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """The valid records of a journal: their contents, the last check, and their size in bytes."""

    contents: tuple[bytes, ...]
    check: str
    size: int


def journal_path(path: Path) -> Path:
    """Return the path of the journal of a thread's file."""
    return path.with_suffix(JOURNAL_SUFFIX)


def first_check(*parts: Bytes) -> str:
    """Return the check that the journal of a file with this content continues."""
    start, left = hashlib.sha256(), HEAD_BYTES
    for part in parts:
        start.update(part[:left])
        left = max(left - len(part), 0)
    return start.hexdigest()[:_CHECK_LENGTH]


def encode_record_line(previous: str, content: bytes) -> tuple[bytes, str]:
    """Return the bytes of a record that follows the check `previous`, and its check."""
    check = _next_check(previous, content)
    return b"%s %08x %s\n" % (check.encode("ascii"), len(content), content), check


def parse_records(journal: bytes, check: str) -> Records:
    """Return the records of a journal up to the first invalid one."""
    contents, position = list[bytes](), 0
    while True:
        prefix = journal[position : position + _PREFIX_LENGTH]
        begin = position + _PREFIX_LENGTH
        try:
            size = int(prefix[_CHECK_LENGTH + 1 : -1], 16)
        except ValueError:
            break
        content = journal[begin : begin + size]
        expected = _next_check(check, content)
        if not prefix.startswith(expected.encode("ascii")) or journal[begin + size :][:1] != b"\n":
            break
        contents.append(content)
        check, position = expected, begin + size + 1
    return Records(tuple(contents), check, position)


def encode_change(encoding: FileEncoding, stem: str, change: Change) -> bytes:
    """Return the content of a record."""
    wire: dict[str, Any] = {"gen": change.gen, "summary": change.summary}
    if change.meta is not None:
        wire["meta"] = change.meta
    if change.text is not None:
        wire["text"] = [change.text.offset, change.text.removed, change.text.text]
    return encoding.encode(_journal_stem(stem), dumps(wire).encode("ascii"))


def decode_change(encoding: FileEncoding, stem: str, content: bytes) -> Change:
    """Return the change in the content of a record. Raises `NotAThreadError`."""
    try:
        wire = json.loads(encoding.decode(_journal_stem(stem), content))
        gen, summary, meta, text = (wire.get(key) for key in ("gen", "summary", "meta", "text"))
        if not is_count(gen) or not is_summary(summary):
            raise ValueError("a record is incomplete")
        if not isinstance(meta, dict | None):
            raise ValueError("its metadata is not an object")
        return Change(gen, summary, meta, None if text is None else _text_change(*text))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NotAThreadError(f"its journal cannot be read: {error}") from error


def apply_changes(text: bytes, changes: Iterable[Change]) -> bytes:
    """Return the JSON of a thread with the changes of its text. Raises `NotAThreadError`."""
    edited = bytearray()
    for change in changes:
        edit = change.text
        if edit is None:
            continue
        edited = edited or bytearray(text)
        end = edit.offset + edit.removed
        if end > len(edited):
            raise NotAThreadError("its journal does not match it")
        edited[edit.offset : end] = edit.text.encode("ascii")
    return bytes(edited) or text


def remove_journal(path: Path) -> None:
    """Remove the journal of a thread's file that was deleted, or written with its changes.

    If that fails, the journal is ignored, because it does not belong to another file.
    """
    with suppress(OSError, StorageError):
        if check_regular(journal_path(path)):
            journal_path(path).unlink(missing_ok=True)


def remove_orphans(directory: Path) -> None:
    """Remove the journals of threads that are neither in a directory nor in its trash."""
    folders = (directory, directory / "trash")
    for path in directory.glob(f"t-*{JOURNAL_SUFFIX}"):
        names = [f"{path.stem}{suffix}" for suffix in THREAD_SUFFIXES]
        with suppress(OSError):  # it is ignored; the next start tries again
            if not is_thread_file(path.name, JOURNAL_SUFFIX) or not path.is_file():
                continue
            if not any((folder / name).exists() for folder in folders for name in names):
                path.unlink()


def _journal_stem(stem: str) -> str:
    """Return the stem with which records are encrypted, so that none can replace a thread."""
    return f"{stem}{JOURNAL_SUFFIX}"


def _next_check(previous: str, content: bytes) -> str:
    digest = hashlib.sha256(previous.encode("ascii"))
    digest.update(content)
    return digest.hexdigest()[:_CHECK_LENGTH]


def _text_change(offset: object, removed: object, text: object) -> TextChange:
    if not is_count(offset) or not is_count(removed) or not isinstance(text, str):
        raise ValueError("a change of its text is invalid")
    return TextChange(offset, removed, text)
