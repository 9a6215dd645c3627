"""Read access to SQLite files of other programs, which may be damaged, in use, or malicious."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from koel_tui.storage.errors import NotAThreadError
from koel_tui.system.regular_files import exists
from koel_tui.text import repair

_BUDGET = 2000  # million VM steps of SQLite: about ten seconds, enough for years of chats
_STEPS = 1_000_000
_MAX_VALUE_BYTES = 64 * 1024 * 1024

Row = dict[str, Any]


class Database:
    """An open database, read-only; SQLite errors are raised as `NotAThreadError`.

    `budget` limits the work of all its queries, in millions of SQLite VM steps.
    """

    def __init__(self, connection: sqlite3.Connection, budget: int) -> None:
        self._connection = connection
        self._remaining = budget
        connection.set_progress_handler(self._on_progress, _STEPS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.row_factory = sqlite3.Row

    def has(self, table: str, *columns: str) -> bool:
        """Return whether an ordinary table, no view or virtual table, has these stored columns."""
        sql = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
        found = list(self._execute(sql, table))
        if not found or not str(found[0]["sql"]).upper().startswith("CREATE TABLE"):
            return False
        existing = {
            row["name"] for row in self._execute("SELECT name FROM pragma_table_info(?)", table)
        }
        return existing.issuperset(columns)

    def rows(self, sql: str, *values: object) -> Iterator[Row]:
        """Yield the rows of a query."""
        for row in self._execute(sql, *values):
            yield dict(row)

    def _execute(self, sql: str, *values: object) -> Iterator[sqlite3.Row]:
        try:
            yield from self._connection.execute(sql, values)
        except (sqlite3.Error, OverflowError) as error:
            raise NotAThreadError(f"SQLite reports: {error}") from error

    def _on_progress(self) -> int:
        self._remaining -= 1
        return int(self._remaining < 0)


@contextmanager
def open_database(path: Path, budget: int = _BUDGET) -> Iterator[Database]:
    """Open a database read-only, with a `budget` for its queries. Raises `NotAThreadError`."""
    # Without a write-ahead log we can use immutable=1: SQLite neither locks nor creates files.
    has_log = exists(path.with_name(f"{path.name}-wal"))
    options = "mode=ro" if has_log else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.resolve()))}?{options}", uri=True, check_same_thread=False
        )
    except (sqlite3.Error, OSError) as error:
        raise NotAThreadError(f"SQLite reports: {error}") from error
    try:
        yield Database(connection, budget)
    finally:
        connection.close()


def column_text(value: object) -> str:
    """Return a column's value as text, empty for None. Raises `NotAThreadError` for bytes."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        raise NotAThreadError("it has bytes instead of text")
    return repair(str(value))
