"""Fixtures of the composer tests: a folder of files to attach."""

from pathlib import Path

import pytest

from koel_tui.ui.composer import file_search

NOTES = "The harbour was quiet.\nI wrote that down.\n"


@pytest.fixture(autouse=True)
def unhurried_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the timeout so that a search finds every file, even on a busy machine."""
    monkeypatch.setattr(file_search, "_TIMEOUT", 60)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with files to attach."""
    (tmp_path / "work" / "sub dir").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    Path("notes.txt").write_text(NOTES)
    Path("sub dir/my notes.md").write_text("deep\n")
    Path("photo.png").write_bytes(b"\x89PNG\0\0")
    Path("big.log").write_text("line\n" * 9000)
    Path(".hidden").mkdir()
    Path(".hidden/notes.txt").write_text("secret")
    return Path.cwd()
