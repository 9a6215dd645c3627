"""A window that sends only what changes looks like any other."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.terminal import Terminal
from tests.e2e.threads import saved_texts

ENVIRONMENT = {"KOEL_TEMPERATURE": "0", "KOEL_MAX_OUTPUT_TOKENS": "40"}


def frame(screen: str) -> tuple[str, ...]:
    """The lines that are the same at any time: all but the status and the one under the tabs."""
    lines = screen.split("\n")
    return (lines[0], *lines[2:-2], lines[-1])


@pytest.mark.timeout(180)
def test_after_a_panel_and_an_editor_it_is_as_it_was(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        '#!/bin/sh\nprintf "\\033[2Jthe editor was here"\nsleep 3\nprintf " " >> "$1"\n'
    )
    editor.chmod(0o700)
    with Terminal(
        "--low-bandwidth", environment={**ENVIRONMENT, "VISUAL": str(editor)}
    ) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        terminal.ask("Tell me a story.")
        terminal.until(lambda screen: "⌛" not in screen and "· saved" in screen, seconds=90)
        answer = " ".join(asyncio.run(saved_texts())[-1].split())
        terminal.until(lambda screen: answer[-30:] in " ".join(screen.split()))
        before = frame(terminal.text)
        terminal.press("f1")
        terminal.until(lambda screen: "esc closes" in screen)
        terminal.press("escape")
        terminal.until(lambda screen: frame(screen) == before)
        terminal.press("ctrl+g")
        terminal.until(lambda _: b"the editor was here" in terminal.bytes)
        terminal.until(lambda screen: frame(screen) == before)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()
