"""Files that are created only where no file is."""

from pathlib import Path

import pytest

from koel_tui.system.new_file import write_exclusive


def test_a_file_is_written_whole_and_as_others_are(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    write_exclusive(tmp_path / "new", "ä".encode())
    assert (tmp_path / "new").read_text() == "ä"
    assert (tmp_path / "new").stat().st_mode == ordinary.stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "ordinary"]


def test_what_is_tthere_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("mine")
    for name in ("link", "file", "."):
        with pytest.raises(FileExistsError):
            write_exclusive(tmp_path / name, b"theirs")
    assert (tmp_path / "file").read_text() == "mine" and not (tmp_path / "nowhere").exists()


def test_a_file_that_cannot_be_written_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(OSError, match="No space"):
        write_exclusive(tmp_path / "new", b"text")
    assert list(tmp_path.iterdir()) == []
