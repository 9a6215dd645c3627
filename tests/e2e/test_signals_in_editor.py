"""Signals while an editor has the terminal: the editor ends too, and its text is kept."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from koel_tui import paths
from tests.e2e.terminal import Terminal
from tests.e2e.test_signals import end_by, ended, wait_until
from tests.hostile_summary import Tally

EDITOR = """
import os, pathlib, signal, sys
ready, go, what, file = map(pathlib.Path, sys.argv[1:])
if what.name == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
file.write_text(file.read_text() + " and more")
if what.name == "copies":
    file.with_name("prompt.md.save").write_text("not written yet")
ready.write_text(str(os.getpid()))
go.read_text()
"""
"""The code of an editor that saves, and stays open until it can read from a pipe."""


@contextmanager
def editing(tmp_path: Path, what: str = "plain") -> Iterator[tuple[Terminal, Path]]:
    """Yield a window whose prompt is open in an editor, and the pipe that ends the editor."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    os.mkfifo(go)
    words = [sys.executable, "-c", EDITOR, str(ready), str(go), what]
    with Terminal(environment={"VISUAL": shlex.join(words)}) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        terminal.type("half a thought")
        terminal.until(lambda screen: "half a thought" in screen)
        terminal.press("ctrl+g")
        terminal.until(lambda _: ready.exists() and bool(ready.read_text()))
        editor = psutil.Process(int(ready.read_text()))
        try:
            yield terminal, go
            wait_until(lambda: not editor.is_running() or editor.status() == "zombie")
        finally:
            if editor.is_running():
                editor.kill()


def draft() -> str:
    return (paths.state_dir() / "tabs-1.json").read_text()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", ["plain", pytest.param("deaf", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "end", ["SIGTERM", "closed", pytest.param("SIGHUP", marks=pytest.mark.slow)]
)
def test_a_signal_while_the_editor_is_open_saves_the_draft(
    tmp_path: Path, end: str, what: str, tally: Tally
) -> None:
    with editing(tmp_path, what) as (terminal, _):
        end_by(end, terminal)
        code = ended(terminal, closed=end == "closed")
        assert code == 128 + (signal.SIGTERM if end == "SIGTERM" else signal.SIGHUP)
    assert "half a thought and more" in draft()
    assert not list(tmp_path.glob("koel-chat-*"))
    tally("signals", tried=1)


@pytest.mark.timeout(60)
def test_a_backup_file_of_the_editor_is_kept_and_named(tmp_path: Path, tally: Tally) -> None:
    with editing(tmp_path, "copies") as (terminal, _):
        terminal.child.kill(signal.SIGTERM)
        assert ended(terminal) == 143
        (left,) = tmp_path.glob("koel-chat-*/prompt.md.save")
        assert f"The edited text is in {left.parent}." in terminal.text.replace("\n", "")
    assert left.read_text() == "not written yet"
    assert left.parent.stat().st_mode & 0o777 == 0o700
    tally("signals", tried=1)


@pytest.mark.timeout(60)
def test_an_interrupt_does_not_end_the_window_while_the_editor_is_open(
    tmp_path: Path, tally: Tally
) -> None:
    with editing(tmp_path) as (terminal, go):
        terminal.child.kill(signal.SIGINT)
        go.write_text("")
        terminal.until(lambda screen: "half a thought and more" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()
    assert "half a thought and more" in draft()
    tally("signals", tried=1)
