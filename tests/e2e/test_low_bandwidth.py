"""The low-bandwidth mode: the screen is the same, but only changes are sent."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from koel_tui.storage import JsonFileStorage
from tests.benchmarks.ui.answers import FIRST_WORD, history, last_text
from tests.e2e.terminal import Terminal
from tests.e2e.threads import saved_texts

ENVIRONMENT = {"KOEL_TEMPERATURE": "0", "KOEL_MAX_OUTPUT_TOKENS": "40"}


def frame(screen: str) -> tuple[str, ...]:
    """Return the constant lines: all but those of the status and the line below the tabs."""
    lines = screen.split("\n")
    return (lines[0], *lines[2:-2], lines[-1])


@pytest.mark.timeout(180)
def test_the_low_bandwidth_screen_is_restored_after_a_panel_and_an_editor(tmp_path: Path) -> None:
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


def streamed(threads: Path, columns: int, rows: int, *options: str) -> tuple[list[Any], int]:
    """Stream an answer at 25 tokens/s; return the final screen and the number of bytes written."""
    asyncio.run(JsonFileStorage(threads).save("long", history(20)))
    program = [sys.executable, "-m", "tests.benchmarks.ui.program", str(threads)]
    command = [*program, "25", "long", "--tokens", "200", *options]
    with Terminal(command=command, columns=columns, rows=rows) as terminal:
        terminal.until(lambda screen: last_text(20) in screen, seconds=60)
        terminal.ask("Tell")
        terminal.until(
            lambda screen: FIRST_WORD in screen and "⌛" in screen and " writing" in screen
        )
        before = len(terminal.bytes)
        terminal.until(lambda screen: "⌛" not in screen and " saved" in screen, seconds=60)
        ended = time.monotonic()  # the last paint may come after "saved"
        terminal.until(lambda screen: time.monotonic() - ended > 2, seconds=60)
        return terminal.cells, len(terminal.bytes) - before


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40)])
def test_at_most_0_4_of_the_bytes_are_written_and_the_screen_is_the_same(
    tmp_path: Path, columns: int, rows: int
) -> None:
    usual, bytes_usual = streamed(tmp_path / "usual", columns, rows)
    sparing, bytes_sparing = streamed(tmp_path / "sparing", columns, rows, "--low-bandwidth")
    differing = [rows for rows in zip(usual, sparing, strict=True) if rows[0] != rows[1]]
    assert differing == []
    assert bytes_sparing <= 0.4 * bytes_usual
