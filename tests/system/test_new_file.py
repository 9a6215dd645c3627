"""Creation of files that never overwrites an existing file."""

import os
from pathlib import Path

import pytest

from koel_tui.system.new_file import write_exclusive


@pytest.fixture
def here(tmp_path: Path) -> Path:
    directory = tmp_path / "here"
    directory.mkdir()
    return directory


def test_a_new_file_is_written_whole_with_default_permissions(here: Path) -> None:
    ordinary = here / "ordinary"
    ordinary.touch()
    write_exclusive(here / "new", "ä".encode())
    assert (here / "new").read_text() == "ä"
    assert (here / "new").stat().st_mode == ordinary.stat().st_mode
    assert sorted(path.name for path in here.iterdir()) == ["new", "ordinary"]


def test_report_32_a_file_system_without_permissions_gets_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", deny)
    write_exclusive(here / "new", b"content")
    assert (here / "new").read_bytes() == b"content"


def test_an_existing_file_is_not_overwritten(here: Path) -> None:
    (here / "link").symlink_to(here / "nowhere")
    (here / "file").write_text("mine")
    for name in ("link", "file", "."):
        with pytest.raises(FileExistsError):
            write_exclusive(here / name, b"theirs")
    assert (here / "file").read_text() == "mine" and not (here / "nowhere").exists()


def test_a_file_that_cannot_be_written_is_not_begun(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(OSError, match="No space"):
        write_exclusive(here / "new", b"text")
    assert list(here.iterdir()) == []
