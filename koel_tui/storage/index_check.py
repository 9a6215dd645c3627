"""Read-only consistency check of a search index against the thread files."""

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from koel_tui.storage.files.quarantine import Signature
from koel_tui.storage.integrity_check import EntrySummary, ThreadScan
from koel_tui.storage.search.connection import VERSION


class UnreadableIndexError(Exception):
    """The index is damaged, of another version or not a database; its next use rebuilds it."""


@dataclass(frozen=True, slots=True)
class IndexComparison:
    """The number of threads by the state of their index entries.

    `outdated` are missing from the index or were changed since they were indexed, `stale` are in
    the index but no longer on disk, `incorrect` have an incorrect entry.
    """

    up_to_date: int
    outdated: int
    stale: int
    incorrect: int


def is_in_use(path: Path) -> bool:
    """Return whether the index has a write-ahead log with changes that are not in its file yet."""
    try:
        return path.with_name(f"{path.name}-wal").lstat().st_size > 0
    except FileNotFoundError:
        return False


def compare_index(path: Path, scan: ThreadScan) -> IndexComparison:
    """Compare an index with the threads. Raises `UnreadableIndexError`."""
    entries, threads = _read_entries(path), scan.intact
    matching = {
        name: threads[name]
        for name, each in entries.items()
        if _is_up_to_date(threads.get(name), each)
    }
    incorrect = sum(entries[name].texts != each.texts for name, each in matching.items())
    return IndexComparison(
        up_to_date=len(matching) - incorrect,
        outdated=len(threads.keys() - matching.keys()),
        stale=len(entries.keys() - threads.keys() - {*scan.damaged, *scan.newer}),
        incorrect=incorrect,
    )


def _is_up_to_date(thread: EntrySummary | None, entry: EntrySummary) -> bool:
    return thread is not None and thread.signature == entry.signature


def _read_entries(path: Path) -> dict[str, EntrySummary]:
    # With immutable=1, SQLite neither locks the file nor creates others next to it.
    uri = f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            check_result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if check_result != "ok":
                raise UnreadableIndexError("its pages are damaged")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                raise UnreadableIndexError(f"its version is {version} instead of {VERSION}")
            rows = connection.execute(
                "SELECT file, signature, first, after, (SELECT count(*) FROM said WHERE "
                "rowid >= first AND rowid < after) FROM threads"
            ).fetchall()
        return {
            file: EntrySummary(_parse_signature(signature), texts if after - first == texts else -1)
            for file, signature, first, after, texts in rows
        }
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise UnreadableIndexError(str(error)) from error


def _parse_signature(text: str) -> Signature:
    device, inode, size, changed = json.loads(text)
    return (int(device), int(inode), int(size), int(changed))
