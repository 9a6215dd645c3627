"""Copying to the clipboard: by a desktop program if there is one, else by the terminal.

The terminal's sequence, OSC 52, reaches the user's machine through ssh and tmux, but some
terminals ignore it, and none confirms it.
"""

import asyncio
import base64
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence

_TIMEOUT_S = 2.0
_COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
)

TERMINAL_METHOD = "the terminal (OSC 52)"
"""The name of the terminal's method."""


def clipboard_command(
    environment: Mapping[str, str],
    platform: str = sys.platform,
    which: Callable[[str], str | None] = shutil.which,
) -> Sequence[str]:
    """Return the command that sets the desktop's clipboard, or () if there is none."""
    if "SSH_CONNECTION" in environment or "SSH_TTY" in environment:
        return ()  # this would set the clipboard of the remote machine
    if platform == "darwin":
        return ("pbcopy",)
    for variable, command in _COMMANDS:
        if environment.get(variable) and which(command[0]):
            return command
    return ()


def osc52_sequence(text: str, environment: Mapping[str, str]) -> str:
    """Return the sequence that makes a terminal copy `text`, wrapped for tmux inside tmux."""
    encoded = base64.b64encode(text.encode()).decode("ascii")
    sequence = f"\x1b]52;c;{encoded}\x07"
    if environment.get("TMUX"):
        escaped = sequence.replace("\x1b", "\x1b\x1b")
        return f"\x1bPtmux;{escaped}\x1b\\"
    return sequence


async def copy_to_clipboard(
    text: str, environment: Mapping[str, str], terminal: Callable[[str], None]
) -> str:
    """Copy `text` and return the name of the method used; `terminal` writes to the terminal."""
    tool = clipboard_command(environment)
    if tool and await _run(tool, text):
        return tool[0]
    terminal(osc52_sequence(text, environment))
    return TERMINAL_METHOD


async def _run(tool: Sequence[str], text: str) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(
            *tool,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await process.communicate(text.encode())
    except TimeoutError:
        process.kill()
        return False
    return process.returncode == 0
