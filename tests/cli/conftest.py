"""Fixtures for the commands."""

from pathlib import Path

import pytest

from tests.cli.commands import Threads


@pytest.fixture
def threads(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Threads:
    monkeypatch.delenv("KOEL_PASSPHRASE_FILE", raising=False)
    return Threads(capsys)


@pytest.fixture
def secret(tmp_path: Path, threads: Threads, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a passphrase, where the program looks for it."""
    path = tmp_path / "passphrase"
    path.write_text("correct horse\n")
    monkeypatch.setenv("KOEL_PASSPHRASE_FILE", str(path))
    return path
