"""The check of the terminal's capabilities."""

import locale
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from koel_tui.cli.doctor.findings import Finding, warning
from koel_tui.cli.window_requirements import MIN_COLUMNS, MIN_ROWS, why_window_impossible

_COLOURS = {"truecolor": "16 million", "256": "256", "standard": "16", "windows": "16"}
_FOCUS_PREFIXES = ("alacritty", "foot", "ghostty", "kitty", "wezterm", "xterm")
"""Prefixes of TERM or TERM_PROGRAM of terminals that report focus."""
_FOCUS_VARIABLES = ("KITTY_WINDOW_ID", "VTE_VERSION", "WT_SESSION", "WEZTERM_PANE")
"""Variables set by terminals that report focus but have another TERM."""
_FOCUS_PROGRAMS = ("iTerm.app", "WezTerm", "ghostty", "vscode")
_TMUX_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Terminal:
    """The detected terminal; `clipboard` is the desktop's clipboard program, if any."""

    is_terminal: bool
    environ: Mapping[str, str]
    columns: int
    rows: int
    colours: str | None
    encoding: str
    clipboard: str
    tmux_focus: str
    """The value of tmux's option focus-events; '' outside tmux or if unknown."""


def inspect() -> Terminal:
    """Inspect the current terminal without writing to it."""
    from rich.console import Console

    from koel_tui.system.clipboard import clipboard_command

    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    columns, rows = os.get_terminal_size() if is_terminal else (0, 0)
    tool = clipboard_command(os.environ)
    return Terminal(
        is_terminal=is_terminal,
        environ=dict(os.environ),
        columns=columns,
        rows=rows,
        colours=Console(force_terminal=True).color_system,
        encoding=locale.getpreferredencoding(do_setlocale=False),
        clipboard=tool[0] if tool else "",
        tmux_focus=_tmux_option("focus-events") if "TMUX" in os.environ else "",
    )


def _tmux_option(option: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["tmux", "show-options", "-gv", option],  # noqa: S607 - the tmux that the user's PATH finds
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TMUX_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def evaluate(terminal: Terminal) -> tuple[Finding, ...]:
    """Return the findings about the terminal; none of them is a problem."""
    return (
        _kind(terminal),
        _size(terminal),
        _colours(terminal),
        _characters(terminal),
        _focus(terminal),
        _clipboard(terminal),
        Finding("between", _layers(terminal)),
    )


def _kind(terminal: Terminal) -> Finding:
    term = terminal.environ.get("TERM", "")
    if not terminal.is_terminal:
        advice = "Run it in the terminal that you use for koel-chat."
        return warning("terminal", "none: input or output is a pipe or a file", advice)
    if why_window_impossible(0, 0, term):
        return warning("terminal", f"TERM={term}: the window cannot run", "The plain mode starts.")
    program = terminal.environ.get("TERM_PROGRAM", "")
    text = " in ".join(filter(None, (f"TERM={term}" if term else "", program)))
    return Finding("terminal", text) if text else warning("terminal", "TERM is not set", _SET_TERM)


_SET_TERM = "Set TERM to the type of your terminal, xterm-256color for most."


def _size(terminal: Terminal) -> Finding:
    if not terminal.columns or not terminal.rows:
        return warning("size", "not known", "Make sure that your terminal reports its size.")
    found = f"{terminal.columns} columns by {terminal.rows} rows"
    if why_window_impossible(terminal.columns, terminal.rows, None):
        advice = f"Below {MIN_COLUMNS} by {MIN_ROWS} the plain mode starts."
        return warning("size", found, advice)
    return Finding("size", found)


def _colours(terminal: Terminal) -> Finding:
    if "NO_COLOR" in terminal.environ:
        return Finding("colours", "shades of grey, because NO_COLOR is set")
    found = _COLOURS.get(terminal.colours or "")
    if terminal.colours == "truecolor":
        return Finding("colours", f"{found}")
    advice = "If your terminal supports more: export COLORTERM=truecolor"
    return warning("colours", found or "unknown", advice)


def _characters(terminal: Terminal) -> Finding:
    if terminal.encoding.replace("-", "").lower() in ("utf8", "cp65001"):
        return Finding("characters", terminal.encoding)
    advice = "Set a UTF-8 locale, for example: export LANG=C.UTF-8"
    return warning("characters", f"{terminal.encoding}, which lacks most characters", advice)


def _focus(terminal: Terminal) -> Finding:
    environ = terminal.environ
    if "TMUX" in environ:
        if terminal.tmux_focus == "on":
            return Finding("focus", "tmux passes it on if the terminal reports it")
        advice = "Without it, no bell rings when an answer ends: tmux set -g focus-events on"
        return warning("focus", "tmux does not pass it on", advice)
    names = (environ.get("TERM", "").lower(), environ.get("TERM_PROGRAM", "").lower())
    if (
        any(name.startswith(_FOCUS_PREFIXES) for name in names)
        or environ.get("TERM_PROGRAM") in _FOCUS_PROGRAMS
        or any(name in environ for name in _FOCUS_VARIABLES)
    ):
        return Finding("focus", "this terminal reports it")
    advice = "Without it, no bell rings when an answer ends."
    return warning("focus", "not known whether this terminal reports it", advice)


def _clipboard(terminal: Terminal) -> Finding:
    if terminal.clipboard:
        return Finding("clipboard", terminal.clipboard)
    environ = terminal.environ
    advice = "If copying does not work, allow it in the settings of your terminal"
    if "TMUX" in environ:
        advice += ", and in tmux: set -g set-clipboard on"
    tools = {"WAYLAND_DISPLAY": "wl-clipboard", "DISPLAY": "xclip"}
    package = next((tools[name] for name in tools if environ.get(name)), "")
    if package and not _is_remote(terminal):
        advice += f"; or install {package}"
    return Finding("clipboard", "through the terminal (OSC 52)", advice=f"{advice}.")


def _is_remote(terminal: Terminal) -> bool:
    return "SSH_CONNECTION" in terminal.environ or "SSH_TTY" in terminal.environ


def _layers(terminal: Terminal) -> str:
    """Return the layers between the program and the terminal: tmux, screen, ssh."""
    environ = terminal.environ
    found = [
        "tmux" if "TMUX" in environ else "",
        "GNU screen" if "STY" in environ else "",
        "ssh" if _is_remote(terminal) else "",
    ]
    words = ", ".join(filter(None, found))
    slow = " (over a slow connection: --low-bandwidth)" if _is_remote(terminal) else ""
    return f"{words}{slow}" if words else "none: neither tmux nor ssh"
