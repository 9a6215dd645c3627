"""The state that a new window restores after a kill, and the terminal after an editor."""

import signal
from pathlib import Path

import pytest

from koel_tui import paths
from tests.e2e.terminal import Terminal

ENVIRONMENT = {"KOEL_TEMPERATURE": "0", "KOEL_MAX_OUTPUT_TOKENS": "5"}


def kept() -> bytes:
    path = paths.state_dir() / "tabs-1.json"
    return path.read_bytes() if path.exists() else b""


@pytest.mark.timeout(240)
def test_a_draft_and_the_open_tabs_survive_a_kill() -> None:
    with Terminal(environment=ENVIRONMENT) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        terminal.ask("Say one word.")
        terminal.until(lambda screen: "⌛" not in screen and "· saved" in screen, seconds=90)
        terminal.press("ctrl+n")
        terminal.until(lambda _: "2 New thread" in terminal.label_row)
        terminal.type("half a thought")
        terminal.until(lambda _: b"half a thought" in kept() and b"Say one word." in kept())
        terminal.child.kill(signal.SIGKILL)
        assert terminal.wait() == -signal.SIGKILL
    with Terminal(environment=ENVIRONMENT) as terminal:
        terminal.until(lambda screen: "half a thought" in screen and "ctx" in screen)
        assert "1 Say one word." in terminal.label_row
        terminal.press("alt+1")
        terminal.until(lambda screen: screen.count("Say one word.") == 2 and "· saved" in screen)
        assert "half a thought" not in terminal.text
        terminal.press("up")
        terminal.until(lambda screen: screen.count("Say one word.") == 3)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()


@pytest.mark.timeout(120)
def test_ctrl_c_in_an_editor_ends_the_editor_alone(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "the editor is here"\nexec sleep 60\n')
    editor.chmod(0o700)
    with Terminal(environment={**ENVIRONMENT, "VISUAL": str(editor)}) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        terminal.type("kept")
        terminal.until(lambda screen: "kept" in screen)
        terminal.press("ctrl+g")
        terminal.until(lambda screen: "the editor is here" in screen)
        terminal.press("ctrl+c")
        terminal.until(lambda screen: "was ended by signal 2" in screen and "kept" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()


@pytest.mark.timeout(120)
def test_an_editor_gets_the_terminal_and_the_window_is_restored_after_it(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        '#!/bin/sh\nprintf "the editor is here"\nread answer\nprintf "%s" "$answer" >> "$1"\n'
    )
    editor.chmod(0o700)
    with Terminal(environment={**ENVIRONMENT, "VISUAL": str(editor)}) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        terminal.type("begun ")
        terminal.until(lambda screen: "begun" in screen)
        terminal.press("ctrl+g")
        terminal.until(lambda screen: "the editor is here" in screen)
        terminal.type("and ended\r")
        terminal.until(lambda screen: "begun and ended" in screen and "1 New thread" in screen)
        assert "the editor is here" not in terminal.text
        terminal.type("!")
        terminal.until(lambda screen: "begun and ended!" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()
