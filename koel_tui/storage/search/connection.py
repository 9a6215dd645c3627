"""The connection to the SQLite file of the search index: opening, creation and transactions."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from koel_tui.paths import DirectoryError, private_directory
from koel_tui.storage.errors import StorageError
from koel_tui.storage.search.indexed_text import TOKENIZER

VERSION = 3
"""The version of the tables; an index of another version is built again at its next use."""
_BUSY_TIMEOUT = 2.0
_RETRY_DELAY = 0.01
_NO_WAL = (sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""Errors of write-ahead logging on a file system without shared memory, as network volumes."""
_TABLES = (
    "CREATE TABLE threads (number INTEGER PRIMARY KEY, file TEXT UNIQUE, signature TEXT, id TEXT, "
    "title TEXT, updated TEXT, first INTEGER, after INTEGER)",
    "CREATE INDEX by_place ON threads (after)",
    "CREATE VIRTUAL TABLE said USING fts5(text, thread UNINDEXED, message UNINDEXED, "
    f"role UNINDEXED, tokenize = '{TOKENIZER}')",
    "CREATE TABLE words (word TEXT PRIMARY KEY, key TEXT) WITHOUT ROWID",
    "CREATE INDEX by_key ON words (key)",
    f"PRAGMA user_version = {VERSION}",
)


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


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the index in a file, or in memory if `path` is None; create it if it is missing.

    Raises `sqlite3.Error`, and `StorageError` if a file without a use cannot be removed.
    """
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
            with transaction(connection, "IMMEDIATE"):
                _create_tables(connection)
        elif version != VERSION:
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
            if not is_busy(error) or time.monotonic() > deadline:
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
def transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """Context manager of a transaction of this kind; an exception undoes it."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_busy(error: Exception) -> bool:
    """Return whether the error means that another connection has locked the index."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
