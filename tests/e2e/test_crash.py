"""An error in the window's own code: a short message, exit code 1, no lost or leaked data."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage
from tests.e2e.faulty_program import CANARY, FAULTS
from tests.e2e.terminal import KEYS, Terminal
from tests.hostile_summary import Tally

BROKEN = (sys.executable, "-m", "tests.e2e.faulty_program")
KEYS_TO = {
    "a key": KEYS["f1"],
    "a key that waits": KEYS["ctrl+c"],
    "a worker": KEYS["ctrl+g"],
    "a panel": KEYS["f1"],
    "typing": "x",
    "reading keys": "x",
}
"""The keys that cause each fault; the faults without an entry occur without a key."""
BY_DEFAULT = {"a panel", "a worker", "reading keys"}


async def save_thread() -> None:
    await JsonFileStorage(paths.threads_dir()).save(
        "kept", ChatState(messages=(Message("m", "user", "what I asked"),))
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("t-*.json")}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, marks=() if fault in BY_DEFAULT else pytest.mark.slow)
        for fault in FAULTS
    ],
)
def test_an_error_in_the_window_restores_the_terminal_and_names_the_log(
    fault: str, tally: Tally
) -> None:
    paths.private_directory(paths.threads_dir())
    asyncio.run(save_thread())
    before = files_of(paths.threads_dir())
    with Terminal(fault, command=BROKEN, columns=200) as terminal:
        if fault in KEYS_TO:
            terminal.until(lambda screen: "Ask anything" in screen)
            terminal.type(KEYS_TO[fault])
        assert terminal.wait() == 1
        assert terminal.restored()
        output = terminal.bytes.rpartition(b"\x1b[?1049l")[2].decode()
    assert "koel-chat ended because of an internal error: RuntimeError" in output
    assert "Your threads are saved." in output
    assert str(paths.log_file()) in output.replace("\r\n", "")
    assert output.count("\n") <= 6 and "Traceback" not in output
    log = paths.log_file().read_text()
    assert "RuntimeError" in log
    assert CANARY.encode() not in terminal.bytes and CANARY not in log
    assert (paths.log_file().stat().st_mode & 0o777) == 0o600
    assert files_of(paths.threads_dir()) == before
    tally("window error", tried=1)


def test_debug_shows_the_traceback_without_locals(tally: Tally) -> None:
    with Terminal("a key", "--debug", command=BROKEN, columns=200, rows=60) as terminal:
        terminal.until(lambda screen: "Ask anything" in screen)
        terminal.type(KEYS_TO["a key"])
        assert terminal.wait() == 1
        assert terminal.restored()
        output = terminal.bytes.rpartition(b"\x1b[?1049l")[2].decode()
    assert "Traceback (most recent call last)" in output and "in refuse" in output
    assert output.count(CANARY) == 1  # in the error message, not as a local variable
    tally("window error", tried=1)


def test_typed_bytes_that_are_not_utf_8_are_replaced(tally: Tally) -> None:
    with Terminal() as terminal:
        terminal.until(lambda screen: "Ask anything" in screen)
        os.write(terminal.child.child_fd, b"caf\xe9 \xff\xfe!")
        terminal.until(lambda screen: "│ caf� ��!" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    tally("window error", tried=1)
