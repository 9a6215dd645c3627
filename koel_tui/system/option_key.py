"""Advice about the alt key where it types characters: Option on a Mac, and xterm."""

from collections.abc import Mapping
from types import MappingProxyType

_SETTINGS = {
    "Apple_Terminal": "Settings > Profiles > Keyboard: Use Option as Meta key",
    "iTerm.app": "Settings > Profiles > Keys: Left Option key: Esc+",
    "iTerm2": "Settings > Profiles > Keys: Left Option key: Esc+",
    "ghostty": "macos-option-as-alt = true",
    "kitty": "macos_option_as_alt yes",
    "alacritty": '[window] option_as_alt = "Both"',
    "rio": '[keyboard] option-as-alt = "both"',
    "WezTerm": "the left Option key is alt; send_composed_key_when_right_alt_is_pressed = false "
    "makes the right one alt too",
    "vscode": '"terminal.integrated.macOptionIsMeta": true',
    "WarpTerminal": "Settings > Features: Left Option key is Meta",
    "Hyper": "modifierKeys: {altIsMeta: true}",
}
"""The setting of each terminal, by its value of TERM_PROGRAM or LC_TERMINAL."""
_ONLY_MAC = frozenset({"Apple_Terminal", "iTerm.app", "iTerm2"})
"""Terminals that run on a Mac, also if the program runs on another computer."""
_XTERM_RESOURCE = "XTerm*metaSendsEscape: true"
_OTHER_XTERMS = ("xterm-ghostty", "xterm-kitty")
"""Values of TERM of other terminals that begin like those of xterm."""
_XTERM_CLONES = ("KONSOLE_VERSION", "VTE_VERSION")
"""Variables of terminals with the TERM of xterm."""
_MULTIPLEXERS = frozenset({"screen", "tmux", "zellij"})
"""Values of TERM_PROGRAM that hide the terminal."""
_OF_TERMINAL = MappingProxyType(
    {
        "GHOSTTY_RESOURCES_DIR": "ghostty",
        "ITERM_SESSION_ID": "iTerm2",
        "WEZTERM_PANE": "WezTerm",
    }
)
"""Variables that one terminal sets, and its name."""


def option_key_advice(environ: Mapping[str, str], platform: str) -> str:
    """Return how to make alt, on a Mac the Option key, a Meta key; empty for other terminals.

    `platform` is the value of `sys.platform`.
    """
    terminal = _terminal(environ)
    if terminal == "xterm":
        return f"alt types characters in xterm, unless it has this X resource: {_XTERM_RESOURCE}."
    if platform != "darwin" and terminal not in _ONLY_MAC:
        return ""
    setting = _SETTINGS.get(terminal)
    where = f"In this terminal: {setting}" if setting else "See the settings of the terminal"
    return f"alt is the Option key, if the terminal sends it as Meta. {where}."


def _terminal(environ: Mapping[str, str]) -> str:
    """Return the name of the terminal; it may be one that is not in the table."""
    # kitty and Alacritty set no TERM_PROGRAM but may inherit one.
    if "KITTY_WINDOW_ID" in environ:
        return "kitty"
    if "ALACRITTY_WINDOW_ID" in environ:
        return "alacritty"
    program = environ.get("TERM_PROGRAM", "")
    # Terminals that were started in xterm inherit its version, but most have another TERM.
    if not program and "XTERM_VERSION" in environ and _is_xterm(environ):
        return "xterm"
    if program and program not in _MULTIPLEXERS:
        return program
    # A multiplexer sets its own name, and keeps the other variables of its terminal.
    inherited = (name for variable, name in _OF_TERMINAL.items() if variable in environ)
    return environ.get("LC_TERMINAL") or next(inherited, program)


def _is_xterm(environ: Mapping[str, str]) -> bool:
    term = environ.get("TERM", "")
    is_other = term.startswith(_OTHER_XTERMS) or any(name in environ for name in _XTERM_CLONES)
    return term.startswith("xterm") and not is_other
