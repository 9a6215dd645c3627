"""Copying to the clipboard: by a desktop program, else by tmux, else by the terminal.

The terminal's sequence, OSC 52, reaches the user's machine through ssh and GNU screen, but some
terminals ignore it, and none confirms it. tmux ignores it by default; its own command works.
"""

import asyncio
import base64
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

_TIMEOUT_S = 2.0
_COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Else wl-copy guesses a type, and many programs paste no text of, for instance, a Perl script.
    ("WAYLAND_DISPLAY", ("wl-copy", "--type", "text/plain")),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
)
_SSH_VARIABLES = ("SSH_CONNECTION", "SSH_TTY")
_DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY")
TMUX_ENVIRONMENT = ("tmux", "show-environment")
"""Prints the variables of the terminal that is attached to tmux now."""
_TMUX_COPY = (
    "tmux", "load-buffer", "-w", "-", ";",
    "display-message", "-p", "#{client_tty}", ";",
    "show-messages", "-T",
)  # fmt: skip
"""Copies to tmux and its client's terminal, then prints that terminal and what terminals can do."""
_MAC_LOCALE = {"LC_ALL": "en_US.UTF-8"}
"""The locale for pbcopy, which reads the text in the encoding of its locale."""
_LARGE_BYTES = 74_994
"""The size of a text above which some terminals ignore the sequence: it has 100,000 bytes then."""
_SCREEN_CHUNK = 240
"""The number of characters in one string of GNU screen; old versions drop more than 256."""
_TERMS_WITHOUT_CLIPBOARD = ("linux", "dumb", "cons25")
"""Values of TERM of terminals that have no clipboard."""
_OF_SESSION = frozenset((*_SSH_VARIABLES, *_DISPLAY_VARIABLES))
"""The variables of a login; those of another login name the wrong desktop."""


class Destination(Enum):
    """The place of copied text."""

    DESKTOP = auto()
    """In the clipboard of the desktop."""
    TMUX_AND_TERMINAL = auto()
    """In a buffer of tmux, and sent by tmux to its terminal, which may ignore it."""
    TMUX = auto()
    """In a buffer of tmux only."""
    TERMINAL = auto()
    """Sent to the terminal, which may ignore it."""
    NOWHERE = auto()


@dataclass(frozen=True, slots=True)
class Copied:
    """The result of copying; `program` is the desktop's program if it was used.

    `is_large` means that the terminal was sent more than some terminals accept.
    """

    destination: Destination
    program: str = ""
    is_large: bool = False


def clipboard_commands(
    environment: Mapping[str, str],
    platform: str = sys.platform,
    which: Callable[[str], str | None] = shutil.which,
) -> list[Sequence[str]]:
    """Return the commands that set the desktop's clipboard, best first."""
    if is_remote(environment):
        return []  # these would set the clipboard of the remote machine
    if platform == "darwin":
        return [("pbcopy",)]
    return [
        command
        for variable, command in _COMMANDS
        if environment.get(variable) and which(command[0])
    ]


def is_remote(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal is connected by ssh."""
    return any(name in environment for name in _SSH_VARIABLES)


def osc52_sequence(text: str, environment: Mapping[str, str]) -> str:
    """Return the sequence that makes a terminal copy `text`, in the form that multiplexers need."""
    encoded = base64.b64encode(text.encode()).decode("ascii")
    sequence = f"\x1b]52;c;{encoded}\x07"
    # Over ssh only TERM shows that there is GNU screen. It would print a long sequence as text.
    is_screen = environment.get("STY") or environment.get("TERM", "").startswith("screen.")
    if is_screen and not environment.get("TMUX"):
        return "".join(
            f"\x1bP{sequence[start : start + _SCREEN_CHUNK]}\x1b\\"
            for start in range(0, len(sequence), _SCREEN_CHUNK)
        )
    # Over ssh only TERM shows that the terminal is tmux.
    if environment.get("TMUX") or environment.get("TERM", "").startswith("tmux"):
        escaped = sequence.replace("\x1b", "\x1b\x1b")
        # tmux reads the first if `set-clipboard` is on, the second if `allow-passthrough` is.
        return f"{sequence}\x1bPtmux;{escaped}\x1b\\"
    return sequence


def has_no_clipboard(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal is known to have no clipboard."""
    return environment.get("TERM", "") in _TERMS_WITHOUT_CLIPBOARD


async def copy_to_clipboard(
    text: str, environment: Mapping[str, str], terminal: Callable[[str], None]
) -> Copied:
    """Copy `text` and return where it is now; `terminal` writes to the terminal."""
    is_large = len(text.encode()) > _LARGE_BYTES
    if environment.get("TMUX"):
        session = await _run(TMUX_ENVIRONMENT, environment) or ""
        environment = attached_environment(environment, session)
    for command in await asyncio.to_thread(clipboard_commands, environment):
        if await _run(command, environment, text) is not None:
            return Copied(Destination.DESKTOP, command[0])
    if environment.get("TMUX"):
        output = await _run(_TMUX_COPY, environment, text)
        if output is not None and _reaches_terminal(output):
            return Copied(Destination.TMUX_AND_TERMINAL, is_large=is_large)
        terminal(osc52_sequence(text, environment))
        if output is not None:
            return Copied(Destination.TMUX)
        return Copied(Destination.TERMINAL, is_large=is_large)
    if has_no_clipboard(environment):
        return Copied(Destination.NOWHERE)
    terminal(osc52_sequence(text, environment))
    return Copied(Destination.TERMINAL, is_large=is_large)


def attached_environment(environment: Mapping[str, str], session: str) -> dict[str, str]:
    """Return the environment with the variables of the terminal that is attached to tmux now.

    A process in tmux has those of the terminal that started it. `session` is the output of
    `tmux show-environment`: lines of NAME=value, or -NAME for a variable that is not set.
    """
    current = dict(environment)
    for line in session.splitlines():
        name, is_set, value = line.removeprefix("-").partition("=")
        if name == "SSH_CONNECTION":  # tmux does not update SSH_TTY
            current.pop("SSH_TTY", None)
        elif name not in _DISPLAY_VARIABLES:
            continue
        if is_set:
            current[name] = value
        else:
            current.pop(name, None)
    return current


def _reaches_terminal(output: str) -> bool:
    """Return whether tmux can set the clipboard of its terminal, from the output of `_TMUX_COPY`.

    After the terminal's device, it has a line "Terminal 0: xterm for /dev/pts/1, ..." for each
    terminal, and below it one line for each capability; Ms sets the clipboard.
    """
    device, _, terminals = output.partition("\n")
    is_current = False
    for line in terminals.splitlines():
        if line.startswith("Terminal "):
            is_current = f" for {device}," in line
        elif is_current and line.partition(":")[2].startswith(" Ms:"):
            return "[missing]" not in line
    return False


async def _run(
    command: Sequence[str], environment: Mapping[str, str], text: str = ""
) -> str | None:
    """Run a command with `text` as its input; return its output, or None if it failed."""
    # The desktop's programs stay in the background with their output open.
    has_output = command[0] == "tmux"
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if has_output else asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in os.environ.keys() - _OF_SESSION}
            | {**environment}
            | (_MAC_LOCALE if command[0] == "pbcopy" else {}),
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            output, _ = await process.communicate(text.encode())
    except TimeoutError:
        with suppress(ProcessLookupError):  # it may have ended, and left its input open
            process.kill()
        await process.wait()
        return None
    return (output or b"").decode(errors="replace") if process.returncode == 0 else None
