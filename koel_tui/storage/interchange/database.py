"""SQLite files of other programs, which may be damaged, in use, or made to do harm."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from koel_tui.storage.errors import NotAThreadError
from koel_tui.text import repair

_BUDGET = 2000  # times a million steps of SQLite's machine: some ten seconds, years of chats
_STEPS = 1_000_000
_LONGEST = 64 * 1024 * 1024

Row = dict[str, Any]


class Database:
    """What can be read of an open file; errors come as `NotAThreadError`."""

    def __init__(self, connection: sqlite3.Connection, budget: int) -> None:
        self._connection = connection
        self._left = budget
        connection.set_progress_handler(self._spend, _STEPS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.row_factory = sqlite3.Row

    def has(self, table: str, *columns: str) -> bool:
        """Whether there is a table with such columns: a real one, with nothing computed in it."""
        sql = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
        found = list(self._execute(sql, table))
        if not found or not str(found[0]["sql"]).upper().startswith("CREATE TABLE"):
            return False
        there = {
            row["name"] for row in self._execute("SELECT name FROM pragma_table_info(?)", table)
        }
        return there.issuperset(columns)

    def rows(self, sql: str, *values: object) -> Iterator[Row]:
        """Yield the rows of a query."""
        for row in self._execute(sql, *values):
            yield dict(row)

    def _execute(self, sql: str, *values: object) -> Iterator[sqlite3.Row]:
        try:
            yield from self._connection.execute(sql, values)
        except (sqlite3.Error, OverflowError) as error:
            raise NotAThreadError(f"SQLite says: {error}") from error

    def _spend(self) -> int:
        self._left -= 1
        return int(self._left < 0)


@contextmanager
def opened(path: Path, budget: int = _BUDGET) -> Iterator[Database]:
    """Open a database to be read only, with so much patience. Raises `NotAThreadError`."""
    # Without a log beside it nothing is to be waited for, and no file is made next to it.
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.resolve()))}?{how}", uri=True, check_same_thread=False
        )
    except (sqlite3.Error, OSError) as error:
        raise NotAThreadError(f"SQLite says: {error}") from error
    try:
        yield Database(connection, budget)
    finally:
        connection.close()


def text(value: object) -> str:
    """Return a value of a column as text. Raises `NotAThreadError` for bytes."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        raise NotAThreadError("it holds bytes where a text should be")
    return repair(str(value))
