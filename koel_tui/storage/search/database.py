"""The SQLite database of the search index; blocking, for worker threads."""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from koel_tui.storage.errors import StorageError
from koel_tui.storage.files.quarantine import Signature
from koel_tui.storage.search.connection import connect, is_busy, remove_index, transaction
from koel_tui.storage.search.indexed_text import (
    BEGIN,
    END,
    MIN_PART,
    find_words,
    is_mark,
    match_beginning,
    match_parts,
    match_word,
    parse_excerpt,
    prepare_text,
    split_query,
    word_key,
)

_MAX_RANKED = 5000  # newest matches only, because ranking half a million takes a second
_SNIPPET_WORDS = 24
_MAX_VARIANTS = 100  # words that contain a part, the shortest first
_MAX_EXPANDED_WORDS = 8  # a longer query is searched for whole words and a last prefix only
_PART_QUERY = (
    "SELECT word FROM words WHERE instr(key, ?1) AND substr(word, 1, ?2) <> ?3 "
    "ORDER BY length(word), word LIMIT ?4"
)
_ENDING_QUERY = (
    "SELECT word FROM words WHERE substr(key, -?2) = ?1 AND word <> ?3 "
    "ORDER BY length(word), word LIMIT ?4"
)
_SAME_QUERY = "SELECT word FROM words WHERE key = ?1 AND word <> ?3 ORDER BY word LIMIT ?4"
_RANK_QUERY = (
    "SELECT place FROM (SELECT rowid AS place, bm25(said) AS score FROM said WHERE said MATCH ? "
    "ORDER BY rowid DESC LIMIT ?) ORDER BY score, place DESC LIMIT ?"
)
# With the row ids as a filter, SQLite scans the matches once instead of looking each up.
_HITS_QUERY = (
    "SELECT place, id, title, updated, message, role, excerpt FROM (SELECT rowid AS place, thread, "
    "message, role, snippet(said, 0, ?, ?, '…', ?) AS excerpt FROM said WHERE said MATCH ? "
    "AND rowid BETWEEN ? AND ? AND +rowid IN (SELECT value FROM json_each(?))) "
    "CROSS JOIN threads ON number = thread"
)


@dataclass(frozen=True, slots=True)
class IndexedText:
    """A searchable text: a message, or the thread's title if `message_id` is empty."""

    message_id: str
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """The index entry of a thread; `file` is its file name."""

    file: str
    signature: Signature
    thread_id: str
    title: str
    updated: datetime
    texts: tuple[IndexedText, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A search result: a message, or a title with role "title", that has all words of a query.

    `snippet` is an excerpt, `spans` are the start and end offsets of the words in it. Texts are
    not sanitized for a terminal.
    """

    thread_id: str
    title: str
    message_id: str
    role: str
    snippet: str
    spans: tuple[tuple[int, int], ...]
    updated: datetime


class BusyError(Exception):
    """Another process is writing the index."""


class DamagedIndexError(Exception):
    """The index was unusable and was removed if possible; the next call creates a new one."""


class SearchDatabase:
    """The index in a file that only its owner can read, or in memory if `path` is None.

    Thread-safe. Methods raise `BusyError` and `DamagedIndexError`.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def signatures(self) -> dict[str, Signature]:
        """Return the files in the index, with their signatures when they were read."""
        with self._connected("DEFERRED") as connection:
            rows = connection.execute("SELECT file, signature FROM threads").fetchall()
            # Parsed in one call, because ten thousand calls take as long as a search.
            signatures = json.loads(f"[{','.join(signature for _, signature in rows)}]")
            pairs = zip(rows, signatures, strict=True)
            return {file: tuple(signature) for (file, _), signature in pairs}

    def replace_entries(self, entries: Iterable[IndexEntry], deleted: Iterable[str] = ()) -> None:
        """Replace the entries of these threads' files, and delete those of the files `deleted`."""
        with self._connected("IMMEDIATE") as connection:
            removed: set[str] = set()
            added: set[str] = set()
            for file in deleted:
                removed |= _delete(connection, file)
            for entry in entries:
                removed |= _delete(connection, entry.file)
                added |= _add(connection, entry)
            connection.executemany(
                "INSERT OR IGNORE INTO words (word, key) VALUES (?, ?)",
                [(word, word_key(word)) for word in sorted(added)],
            )
            _forget_words(connection, removed - added)

    def find(self, query: str, limit: int) -> list[Hit]:
        """Return at most `limit` texts that have all words of a query, best first.

        Texts that have a word only as a part of another word come last.
        """
        words = split_query(query)
        if not words:
            return []
        with self._connected("DEFERRED") as connection:
            hits = _find_hits(connection, match_beginning(words), limit)
            if len(hits) < limit and len(words) <= _MAX_EXPANDED_WORDS:
                variants = [_variants(connection, word) for word in words]
                hits |= _find_hits(connection, match_parts(words, variants), limit)
            return list(hits.values())[:limit]

    def remove(self) -> None:
        """Delete the index. Raises `StorageError`."""
        with self._lock:
            self._discard()

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            self._close()

    @contextmanager
    def _connected(self, kind: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = connect(self._path)
                with transaction(self._connection, kind):
                    yield self._connection
            except (sqlite3.Error, StorageError, ValueError, TypeError, KeyError) as error:
                if is_busy(error):
                    raise BusyError from error
                with suppress(StorageError):  # then the next call fails too
                    self._discard()
                raise DamagedIndexError(str(error)) from error

    def _discard(self) -> None:
        self._close()
        if self._path is not None:
            remove_index(self._path)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _find_hits(connection: sqlite3.Connection, match: str, limit: int) -> dict[int, Hit]:
    """Return the hits of an FTS5 expression by their row ids, best first."""
    rowids = [row[0] for row in connection.execute(_RANK_QUERY, [match, _MAX_RANKED, limit])]
    if not rowids:
        return {}
    rows = connection.execute(
        _HITS_QUERY,
        [BEGIN, END, _SNIPPET_WORDS, match, min(rowids), max(rowids), json.dumps(rowids)],
    )
    hits = {rowid: _parse_hit(*rest) for rowid, *rest in rows}
    return {rowid: hits[rowid] for rowid in rowids}


def _variants(connection: sqlite3.Connection, tokens: Sequence[str]) -> list[str]:
    """Return the words that contain the part `tokens`, or end in the first of several tokens.

    A short part has only the words that are equal without accents.
    """
    part = tokens[0].lower()
    key = word_key(part)
    if not all(char.isalnum() or is_mark(char) for char in key):
        return []
    length = len(part) if len(tokens) == 1 else len(key)
    query = _PART_QUERY if len(tokens) == 1 else _ENDING_QUERY
    if len(key) < MIN_PART:
        query = _SAME_QUERY
    return [row[0] for row in connection.execute(query, [key, length, part, _MAX_VARIANTS])]


def _delete(connection: sqlite3.Connection, file: str) -> set[str]:
    """Delete the entry of a file; return its words."""
    row = connection.execute(
        "SELECT number, first, after FROM threads WHERE file = ?", [file]
    ).fetchone()
    if row is None:
        return set()
    texts = connection.execute("SELECT text FROM said WHERE rowid >= ? AND rowid < ?", row[1:])
    words = find_words("\n".join(text for (text,) in texts))
    connection.execute("DELETE FROM said WHERE rowid >= ? AND rowid < ?", row[1:])
    connection.execute("DELETE FROM threads WHERE number = ?", row[:1])
    return words


def _forget_words(connection: sqlite3.Connection, words: Iterable[str]) -> None:
    """Delete those of the words that no text has."""
    for word in words:
        found = connection.execute(
            "SELECT 1 FROM said WHERE said MATCH ? LIMIT 1", [match_word(word)]
        ).fetchone()
        if found is None:
            connection.execute("DELETE FROM words WHERE word = ?", [word])


def _add(connection: sqlite3.Connection, entry: IndexEntry) -> set[str]:
    """Add an entry; return its words."""
    first = connection.execute("SELECT max(after) FROM threads").fetchone()[0] or 1
    number = connection.execute(
        "INSERT INTO threads (file, signature, id, title, updated, first, after) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            entry.file,
            json.dumps(entry.signature),
            json.dumps(entry.thread_id),
            json.dumps(entry.title),
            entry.updated.isoformat(),
            first,
            first + len(entry.texts),
        ],
    ).lastrowid
    texts = [prepare_text(each.text) for each in entry.texts]
    # An id may be any string, also one that SQLite rejects, so we store it as ASCII JSON.
    connection.executemany(
        "INSERT INTO said (rowid, text, thread, message, role) VALUES (?, ?, ?, ?, ?)",
        (
            (rowid, text, number, json.dumps(each.message_id), json.dumps(each.role))
            for rowid, (text, each) in enumerate(zip(texts, entry.texts, strict=True), first)
        ),
    )
    return find_words("\n".join(texts))


def _parse_hit(
    thread_id: str, title: str, updated: str, message_id: str, role: str, excerpt: str
) -> Hit:
    snippet, spans = parse_excerpt(excerpt)
    return Hit(
        thread_id=json.loads(thread_id),
        title=json.loads(title),
        message_id=json.loads(message_id),
        role=json.loads(role),
        snippet=snippet,
        spans=spans,
        updated=datetime.fromisoformat(updated),
    )
