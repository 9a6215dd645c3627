"""Fixtures for the tests of the commands."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from koel_tui.cli import wiring
from koel_tui.cli.main import run
from tests.cli.asking import Playing
from tests.cli.commands import Said, Threads
from tests.ui.scripted import Turn


@pytest.fixture
def threads(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Threads:
    monkeypatch.delenv("KOEL_PASSPHRASE_FILE", raising=False)
    return Threads(capsys)


@pytest.fixture
def secret(tmp_path: Path, threads: Threads, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A passphrase file that KOEL_PASSPHRASE_FILE names."""
    path = tmp_path / "passphrase"
    path.write_text("correct horse\n")
    monkeypatch.setenv("KOEL_PASSPHRASE_FILE", str(path))
    return path


@pytest.fixture
def asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Return a function that runs `ask` in this process; `play` scripts the agent."""

    def ask(*words: str, play: Callable[[Turn], object] | None = None) -> Said:
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        if play is not None:
            monkeypatch.setattr(wiring, "create_model_router", lambda *_: Playing(play))
        capsys.readouterr()
        code = run(["ask", *words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return ask
