"""The check of the terminal's capabilities."""

import locale
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from koel_tui.cli.doctor.findings import Finding, warning
from koel_tui.cli.window_requirements import MIN_COLUMNS, MIN_ROWS, why_window_impossible
from koel_tui.system.clipboard import (
    TMUX_ENVIRONMENT,
    attached_environment,
    clipboard_commands,
    has_no_clipboard,
    is_remote,
)
from koel_tui.system.option_key import option_key_advice

_COLOURS = {"truecolor": "16 million", "256": "256", "standard": "16"}
"""The number of colours, by Rich's name of the colour system."""
_FOCUS_PREFIXES = (
    "alacritty", "foot", "ghostty", "iterm.app", "kitty", "vscode", "wezterm", "xterm",
)  # fmt: skip
"""Prefixes of TERM or TERM_PROGRAM, in lower case, of terminals that report focus."""
_FOCUS_VARIABLES = ("KITTY_WINDOW_ID", "VTE_VERSION", "WT_SESSION", "WEZTERM_PANE")
"""Variables set by terminals that report focus but have another TERM."""
_TMUX_FOCUS = ("tmux", "show-options", "-gv", "focus-events")
_TMUX_TIMEOUT_S = 2.0
_ALLOW_COPYING = "If copying does not work, allow it in the settings of your terminal"


@dataclass(frozen=True, slots=True)
class Terminal:
    """The detected terminal."""

    is_terminal: bool
    """True if standard input and output are a terminal."""
    environ: Mapping[str, str]
    columns: int
    """0 if the size is unknown."""
    rows: int
    colours: str | None
    """Rich's name of the colour system; None if it is unknown."""
    encoding: str
    clipboard: str
    """The desktop's clipboard program; '' if there is none."""
    tmux_focus: str
    """The value of tmux's option focus-events; '' outside tmux or if unknown."""
    platform: str = sys.platform


def inspect() -> Terminal:
    """Inspect the current terminal without writing to it."""
    from rich.console import Console

    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    columns, rows = os.get_terminal_size() if is_terminal else (0, 0)
    in_tmux = "TMUX" in os.environ
    session = _run_tmux(TMUX_ENVIRONMENT) if in_tmux else ""
    environ = attached_environment(os.environ, session)
    clipboards = clipboard_commands(environ)
    return Terminal(
        is_terminal=is_terminal,
        environ=environ,
        columns=columns,
        rows=rows,
        # The report may be piped, but it is about the colours of the terminal.
        colours=Console(force_terminal=True).color_system,
        encoding=locale.getpreferredencoding(do_setlocale=False),
        clipboard=clipboards[0][0] if clipboards else "",
        tmux_focus=_run_tmux(_TMUX_FOCUS).strip() if in_tmux else "",
    )


def _run_tmux(command: Sequence[str]) -> str:
    """Return the output of a command of tmux; empty if it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - the user's PATH finds it
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TMUX_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


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
        *_option_key(terminal),
    )


def _kind(terminal: Terminal) -> Finding:
    term = terminal.environ.get("TERM", "")
    if not terminal.is_terminal:
        advice = "Run it in the terminal that you use for koel-chat."
        return warning("terminal", "none: input or output is a pipe or a file", advice)
    if why_window_impossible(0, 0, term):
        return warning("terminal", f"TERM={term}: the window cannot run", "The plain mode starts.")
    program = terminal.environ.get("TERM_PROGRAM", "")
    if term:
        return Finding("terminal", f"TERM={term} in {program}" if program else f"TERM={term}")
    if program:
        return Finding("terminal", program)
    advice = "Set TERM to the type of your terminal, xterm-256color for most."
    return warning("terminal", "TERM is not set", advice)


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
    found = _COLOURS.get(terminal.colours or "", "unknown")
    if terminal.colours == "truecolor":
        return Finding("colours", found)
    advice = "If your terminal supports more: export COLORTERM=truecolor"
    return warning("colours", found, advice)


def _characters(terminal: Terminal) -> Finding:
    if terminal.encoding.replace("-", "").lower() == "utf8":
        return Finding("characters", terminal.encoding)
    advice = "Set a UTF-8 locale, for example: export LANG=C.UTF-8"
    return warning("characters", f"{terminal.encoding}, which lacks most characters", advice)


def _focus(terminal: Terminal) -> Finding:
    environ = terminal.environ
    if "TMUX" in environ:
        if terminal.tmux_focus == "on":
            return Finding("focus", "tmux passes it on if the terminal reports it")
        advice = "Without it, no bell rings when an answer ends: tmux set -g focus-events on"
        found = "tmux does not pass it on" if terminal.tmux_focus else "not known: tmux did not say"
        return warning("focus", found, advice)
    names = (environ.get("TERM", "").lower(), environ.get("TERM_PROGRAM", "").lower())
    if any(name.startswith(_FOCUS_PREFIXES) for name in names) or any(
        variable in environ for variable in _FOCUS_VARIABLES
    ):
        return Finding("focus", "this terminal reports it")
    advice = "Without it, no bell rings when an answer ends."
    return warning("focus", "not known whether this terminal reports it", advice)


def _clipboard(terminal: Terminal) -> Finding:
    if terminal.clipboard:
        return Finding("clipboard", terminal.clipboard)
    environ = terminal.environ
    if "TMUX" in environ:
        found = "tmux, which sends it to the terminal (OSC 52)"
        advice = f"{_ALLOW_COPYING}, and in tmux.conf: set -as terminal-features ',*:clipboard'"
        return Finding("clipboard", found, advice=f"{advice}.")
    if has_no_clipboard(environ):
        return warning(
            "clipboard", "this terminal has none", "alt+shift+b saves a code block to a file."
        )
    advice = _ALLOW_COPYING
    if environ.get("TERM", "").startswith("tmux"):
        advice += ", and in tmux: set -g set-clipboard on"
    if not is_remote(environ):
        if environ.get("WAYLAND_DISPLAY"):
            advice += "; or install wl-clipboard"
        elif environ.get("DISPLAY"):
            advice += "; or install xclip"
    return Finding("clipboard", "through the terminal (OSC 52)", advice=f"{advice}.")


def _option_key(terminal: Terminal) -> tuple[Finding, ...]:
    advice = option_key_advice(terminal.environ, terminal.platform)
    found = "the terminal decides what alt sends"  # it cannot be asked
    return (Finding("alt keys", found, advice=advice),) if advice else ()


def _layers(terminal: Terminal) -> str:
    """Return the layers between the program and the terminal: tmux, screen, ssh."""
    layers = []
    if "TMUX" in terminal.environ:
        layers.append("tmux")
    if "STY" in terminal.environ:
        layers.append("GNU screen")
    if is_remote(terminal.environ):
        layers.append("ssh (over a slow connection: --low-bandwidth)")
    return ", ".join(layers) or "none: neither tmux nor ssh"
