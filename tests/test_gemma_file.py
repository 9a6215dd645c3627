"""The file of the Gemma model: it is joined from its chunks once, checked, and private."""

import hashlib
from pathlib import Path

import pytest

from tests import gemma


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Replace the chunks by four small ones; return the folder of the joined file."""
    parts = []
    for number in range(gemma.CHUNKS):
        parts.append(tmp_path / f"chunk{number}")
        parts[-1].write_bytes(bytes([number]) * 100)
    monkeypatch.setattr(gemma, "chunks", lambda: parts)
    monkeypatch.setattr(gemma, "BYTES", 400)
    digest = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    monkeypatch.setattr(gemma, "SHA256", digest)
    return tmp_path / "cache"


def test_the_chunks_are_joined_once_into_a_private_file(small: Path) -> None:
    path = gemma.joined(small)
    assert path.read_bytes()[::100] == bytes(range(4))
    assert small.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.stat().st_ino
    assert gemma.joined(small).stat().st_ino == before
    assert [each.name for each in small.iterdir()] == [gemma.NAME]


@pytest.mark.parametrize("damage", [b"", b"x" * 400])
def test_a_damaged_file_is_joined_again(small: Path, damage: bytes) -> None:
    path = gemma.joined(small)
    path.write_bytes(damage)
    assert gemma.joined(small).read_bytes()[::100] == bytes(range(4))


def test_a_folder_that_cannot_be_made_has_a_substitute(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gemma, "PACKAGE", "json")  # any installed package
    (tmp_path / "file").touch()
    path = gemma.path_or_skip(tmp_path / "file" / "cache", tmp_path)
    assert path == tmp_path / gemma.NAME


def test_only_a_missing_package_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemma, "PACKAGE", "no_such_package")
    with pytest.raises(pytest.skip.Exception, match="uv sync --group models"):
        gemma.path_or_skip(tmp_path, tmp_path)


def test_a_missing_chunk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemma, "PACKAGE", "no_such_package")
    with pytest.raises(gemma.MissingChunkError, match="no_such_package_part1 is not installed"):
        gemma.joined(tmp_path)


@pytest.mark.slow
def test_the_real_chunks_give_the_published_file(gemma_path: Path) -> None:
    assert gemma.is_whole(gemma_path)
