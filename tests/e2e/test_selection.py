"""Selection of text with the mouse in the real program, and its copy to the clipboard."""

import base64
import re

import pytest

from tests.cli.commands import save
from tests.e2e.terminal import Terminal

NOWHERE = dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "TMUX", "STY"), "")
CODE = "first = 1\n\n\tif x:\n\t\ty = '" + "y" * 150 + "'\nlast = 2"
TABLE = "| first | b |\n|---|---|\n| c | last |"
LONG = "word " * 7000


def drag(terminal: Terminal, begin: str, end: str) -> None:
    """Press the mouse button at the last `begin` on the screen; release it after the last `end`."""
    lines = terminal.text.split("\n")
    first = max(row for row, line in enumerate(lines) if begin in line)
    last = max(row for row, line in enumerate(lines) if end in line)
    x, y = lines[first].index(begin) + 1, first + 1
    to_x, to_y = lines[last].index(end) + len(end) + 1, last + 1
    terminal.type(f"\x1b[<0;{x};{y}M")
    terminal.type(f"\x1b[<32;{to_x};{to_y}M")
    terminal.type(f"\x1b[<0;{to_x};{to_y}m")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "copied"),
    [
        (f"```python\n{CODE}\n```", CODE),
        (f"{LONG}\n\n```python\n{CODE}\n```", CODE),
        (TABLE, "first\tb\nc\tlast"),
        (f"{LONG}\n\n{TABLE}", "first\tb\nc\tlast"),
    ],
    ids=["code", "code of a long answer", "table", "table of a long answer"],
)
def test_report_38_a_selection_of_the_mouse_is_copied_as_written(answer: str, copied: str) -> None:
    save("sea", "Go.", answer)
    with Terminal("sea", environment=NOWHERE) as terminal:
        end = "last = 2" if copied == CODE else "last"
        terminal.until(lambda screen: "alt+m renders" in screen or end in screen)
        if answer.startswith(LONG):
            terminal.press("alt+m")
            terminal.until(lambda screen: "rendered as Markdown" in screen and end in screen)
        drag(terminal, "first", end)
        terminal.press("ctrl+c")
        terminal.until(lambda _: b"\x1b]52;" in terminal.bytes)
        sent = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)", terminal.bytes)
        assert base64.b64decode(sent[-1]).decode() == copied
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
