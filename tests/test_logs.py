"""The log: its size is bounded, only its owner can read it, and errors in it are ignored."""

import logging
from pathlib import Path

import pytest

from koel_tui import logs
from koel_tui.logs import LogFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "koel-chat.log"


def logger(path: Path) -> logging.Logger:
    made = logging.Logger("test")
    made.addHandler(LogFile(path))
    return made


def test_a_full_log_is_rotated_and_its_oldest_part_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 2000)
    log = logger(path)
    for number in range(500):
        log.warning("line %d", number)
    parts = sorted(path.parent.iterdir())
    assert [part.name for part in parts] == [path.name, f"{path.name}.1", f"{path.name}.2"]
    assert all(part.stat().st_size <= 2000 for part in parts)
    assert all(part.stat().st_mode & 0o777 == 0o600 for part in parts)
    assert "line 499" in path.read_text() and "line 0\n" not in parts[2].read_text()


def test_the_length_of_a_log_record_is_limited(path: Path) -> None:
    logger(path).warning("x" * 10_000_000)
    assert path.stat().st_size < 2 * logs.MAX_RECORD_CHARACTERS < logs.MAX_LOG_BYTES / 10


def test_a_link_in_the_place_of_a_log_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    path.parent.mkdir(mode=0o700)
    path.symlink_to(target)
    logger(path).warning("for nobody")
    assert target.read_text() == "mine"
