"""Terminals without input, output or size: an error message or plain mode, without a hang."""

import os
import subprocess

import pytest

from tests.e2e.terminal import PROGRAM, Terminal
from tests.hostile_summary import Tally

WITHIN = 20
NO_TERMINAL = "the window needs a terminal"


def in_shell(redirection: str, arguments: str = "") -> Terminal:
    """Start the program from a shell in a terminal, with redirected streams."""
    line = f'"{PROGRAM}" {arguments} {redirection}; echo "ended with $?"'
    return Terminal("-c", line, command=("/bin/sh",), columns=160)


@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        ("<&-", True),
        (">&-", True),
        ("</dev/null", True),
        ("| cat", True),
        ("2>&- </dev/null", False),
        ("<&- >&- 2>&-", False),
    ],
)
def test_a_missing_terminal_is_an_error_on_stderr(
    redirection: str, said: bool, tally: Tally
) -> None:
    with in_shell(redirection) as terminal:
        screen = terminal.until(lambda screen: "ended with" in screen)
        assert (NO_TERMINAL in screen.replace("\n", "")) == said
        assert "Traceback" not in screen and "internal error" not in screen
        assert "ended with 2" in screen or redirection == "| cat"
        assert terminal.restored()
    tally("strange terminal", tried=1)


@pytest.mark.parametrize(
    "redirection", ["2>&-", pytest.param("2>/dev/null", marks=pytest.mark.slow)]
)
def test_redirected_stderr_selects_plain_mode(redirection: str, tally: Tally) -> None:
    with in_shell(redirection) as terminal:
        terminal.until(lambda screen: "drawn on stderr" in screen and "You:" in screen)
        terminal.type("\x04")
        terminal.until(lambda screen: "ended with 0" in screen)
        assert terminal.restored()
    tally("strange terminal", tried=1)


@pytest.mark.parametrize(
    ("size", "name", "plain"),
    [
        ((1, 1), "xterm", True),
        ((0, 0), "xterm", False),
        pytest.param((80, 24), "dumb", True, marks=pytest.mark.slow),
    ],
)
def test_the_size_and_kind_of_the_terminal_select_the_window_or_plain_mode(
    size: tuple[int, int], name: str, plain: bool, tally: Tally
) -> None:
    columns, rows = size
    with Terminal(columns=max(1, columns), rows=max(1, rows), environment={"TERM": name}) as there:
        there.child.setwinsize(rows, columns)
        shown = b"You:" if plain else b"Ask"
        there.until(lambda _: shown in there.bytes)
        assert (b"\x1b[?1049h" in there.bytes) != plain
        there.type("\x04" if plain else "\x11")
        assert there.wait() == 0
        assert there.restored()
    tally("strange terminal", tried=1)


@pytest.mark.parametrize("closed", [(0,), (2,), (0, 1, 2)])
def test_closed_standard_streams_do_not_change_the_exit_code_of_ask(
    closed: tuple[int, ...], tally: Tally
) -> None:
    """The program does not open a file with the descriptor of a closed stream, and it ends."""
    question = [PROGRAM, "ask", "hi", "--max-output-tokens", "2", "--model", "/nowhere.gguf"]
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" ' + " ".join(f"{number}>&-" for number in closed), "sh", *question],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=WITHIN, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 66
    assert ("nowhere" in done.stderr) == (2 not in closed)
    tally("strange terminal", tried=1)
