"""Whether a search index says what the threads say, found out without touching it."""

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
    """The index is no database, or a damaged one; it is made again when it is next used."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How an index stands to the threads.

    `agreeing` are threads it knows as they are, `behind` those that were changed since, `gone`
    those it knows and that are no longer there, `wrong` those of which it holds something else.
    """

    agreeing: int
    behind: int
    gone: int
    wrong: int


def is_in_use(path: Path) -> bool:
    """Whether there are changes that are not in the index's own file yet."""
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
    # As immutable SQLite neither locks the file nor makes one beside it.
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
