"""The SQLite database of the search index; blocking, for worker threads."""

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from koel_tui.paths import DirectoryError, private_directory
from koel_tui.storage.errors import StorageError
from koel_tui.storage.files.quarantine import Signature
from koel_tui.storage.search.indexed_text import (
    BEGIN,
    END,
    MIN_PART,
    TOKENIZER,
    find_words,
    match_beginning,
    match_parts,
    parse_excerpt,
    prepare_text,
    split_query,
    word_key,
)

_VERSION = 2
_BUSY_TIMEOUT = 2.0
_RETRY_DELAY = 0.01
_NO_WAL = (sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""Errors of write-ahead logging on a file system without shared memory, as network volumes."""
_MAX_RANKED = 5000  # newest matches only, because ranking half a million takes a second
_SNIPPET_WORDS = 24
_MAX_VARIANTS = 100  # words that contain a part, the shortest first
_MAX_EXPANDED_WORDS = 8  # a longer query is searched for whole words and a last prefix only
_TABLES = (
    "CREATE TABLE threads (number INTEGER PRIMARY KEY, file TEXT UNIQUE, signature TEXT, id TEXT, "
    "title TEXT, updated TEXT, first INTEGER, after INTEGER)",
    "CREATE INDEX by_place ON threads (after)",
    "CREATE VIRTUAL TABLE said USING fts5(text, thread UNINDEXED, message UNINDEXED, "
    f"role UNINDEXED, tokenize = '{TOKENIZER}')",
    "CREATE TABLE words (word TEXT PRIMARY KEY, key TEXT) WITHOUT ROWID",
    f"PRAGMA user_version = {_VERSION}",
)
_PART_QUERY = (
    "SELECT word FROM words WHERE instr(key, ?1) AND substr(word, 1, ?2) <> ?3 "
    "ORDER BY length(word), word LIMIT ?4"
)
_ENDING_QUERY = (
    "SELECT word FROM words WHERE substr(key, -?2) = ?1 AND word <> ?3 "
    "ORDER BY length(word), word LIMIT ?4"
)
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
                    self._connection = _connect(self._path)
                with _transaction(self._connection, kind):
                    yield self._connection
            except (sqlite3.Error, StorageError, ValueError, TypeError, KeyError) as error:
                if _is_busy(error):
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


def remove_index(path: Path) -> None:
    """Delete an index file and SQLite's companion files. Raises `StorageError`."""
    try:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"The search index {path} cannot be removed: {error.strerror or error}. "
            "Remove it yourself; it is rebuilt when needed."
        ) from error


def _connect(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _open(None, create_with_wal=False)
    _make_private(path)
    try:
        return _open(path, create_with_wal=True)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _NO_WAL:
            raise
    remove_index(path)
    _make_private(path)
    return _open(path, create_with_wal=False)


def _open(path: Path | None, *, create_with_wal: bool) -> sqlite3.Connection:
    """Open the index, or create it: with write-ahead logging, or without."""
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA temp_store = MEMORY")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            if create_with_wal:
                _enable_wal(connection)
            with _transaction(connection, "IMMEDIATE"):
                _create_tables(connection)
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"its version is {version}")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _enable_wal(connection: sqlite3.Connection) -> None:
    """Enable write-ahead logging, so that searches work while another process writes."""
    # SQLite's busy timeout does not apply if another process does the same, so we retry.
    deadline = time.monotonic() + _BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_DELAY)


def _make_private(path: Path) -> None:
    """Create the file if it is missing, because SQLite would let other users read it."""
    try:
        private_directory(path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            with suppress(OSError):  # the file system keeps no permissions
                os.fchmod(descriptor, 0o600)
            _check_locks(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, DirectoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else ""
        raise sqlite3.OperationalError(reason or str(error)) from error


def _check_locks(descriptor: int) -> None:
    """Raise OSError if the file system has no locks, which SQLite reports as a busy file."""
    with suppress(BlockingIOError, PermissionError):  # locked, so there are locks
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1)  # SQLite does not lock this byte


def _create_tables(connection: sqlite3.Connection) -> None:
    # Another process may have been first.
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in _TABLES:
            connection.execute(statement)


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _is_busy(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


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
    """Return the words that contain the part `tokens`, or end in the first of several tokens."""
    part = tokens[0].lower()
    if len(part) < MIN_PART or not part.isalnum():
        return []
    key = word_key(part)
    query = _PART_QUERY if len(tokens) == 1 else _ENDING_QUERY
    length = len(part) if len(tokens) == 1 else len(key)
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
            "SELECT 1 FROM said WHERE said MATCH ? LIMIT 1", [match_beginning([[word]])]
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
