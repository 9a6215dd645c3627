"""Read-only consistency check of a search index against the thread files."""

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from koel_tui.storage.files.quarantine import Signature
from koel_tui.storage.integrity_check import Indexed, Readable


class UnreadableIndexError(Exception):
    """The index is damaged or not a database; it is rebuilt at its next use."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The number of threads by the state of their index entries.

    `agreeing` are up to date, `behind` are missing from the index or were changed since they were
    indexed, `gone` are in the index but no longer on disk, `wrong` have an incorrect entry.
    """

    agreeing: int
    behind: int
    gone: int
    wrong: int


def is_in_use(path: Path) -> bool:
    """Return whether the index has a write-ahead log with changes that are not in its file yet."""
    try:
        return path.with_name(f"{path.name}-wal").lstat().st_size > 0
    except FileNotFoundError:
        return False


def agreement(path: Path, readable: Readable) -> Agreement:
    """Compare an index with the threads. Raises `UnreadableIndexError`."""
    known, threads = _known(path), readable.whole
    same = {name: threads[name] for name, each in known.items() if _fits(threads.get(name), each)}
    wrong = sum(known[name].texts != each.texts for name, each in same.items())
    return Agreement(
        agreeing=len(same) - wrong,
        behind=len(threads.keys() - same.keys()),
        gone=len(known.keys() - threads.keys() - {*readable.damaged, *readable.newer}),
        wrong=wrong,
    )


def _fits(thread: Indexed | None, known: Indexed) -> bool:
    return thread is not None and thread.signature == known.signature


def _known(path: Path) -> dict[str, Indexed]:
    # With immutable=1, SQLite neither locks the file nor creates others next to it.
    uri = f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if sound != "ok":
                raise UnreadableIndexError("its pages are damaged")
            rows = connection.execute(
                "SELECT file, signature, first, after, (SELECT count(*) FROM said WHERE "
                "rowid >= first AND rowid < after) FROM threads"
            ).fetchall()
        return {
            file: Indexed(_signature(signature), texts if after - first == texts else -1)
            for file, signature, first, after, texts in rows
        }
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise UnreadableIndexError(str(error)) from error


def _signature(text: str) -> Signature:
    device, inode, size, changed = json.loads(text)
    return (int(device), int(inode), int(size), int(changed))
