"""A log that several processes write: a rotation by one loses no lines of the others."""

import logging
from pathlib import Path

import pytest

from koel_tui import logs
from koel_tui.logs import BACKUP_COUNT, LogFile

LINES = 400


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, __file__, 1, text, None, None)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a log with small files, which rotate often."""
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 2000)
    monkeypatch.setattr(logs, "LINE_FORMAT", "%(message)s")
    return tmp_path / "log" / "test.log"


def kept(log: Path) -> list[str]:
    """Return the lines in all files of the log, the oldest first."""
    files = [log.with_name(f"{log.name}.{number}") for number in range(BACKUP_COUNT, 0, -1)]
    return [line for file in (*files, log) for line in file.read_text().splitlines()]


def test_a_new_file_is_begun_once_for_all_writers(log: Path) -> None:
    writers = [LogFile(log) for _ in range(3)]
    for number in range(LINES):
        # Each writer writes 7 lines in turn, so others rotate the file that it has open.
        writers[number // 7 % 3].emit(record(f"line {number:05} of a log that all of them share"))
    lines = kept(log)
    first = int(lines[0].split()[1])
    assert [int(line.split()[1]) for line in lines] == list(range(first, LINES))
    assert sum(len(line) + 1 for line in lines) > 2000 * BACKUP_COUNT * 0.9, "some are lost"
    assert all(each.stat().st_size <= 2000 for each in log.parent.iterdir())


def test_a_log_that_was_removed_is_begun_again(log: Path) -> None:
    writer = LogFile(log)
    writer.emit(record("before"))
    log.unlink()
    writer.emit(record("after"))
    assert log.read_text() == "after\n"
    assert log.stat().st_mode & 0o077 == 0
