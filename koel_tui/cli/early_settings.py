"""The settings that are needed before the first paint."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from koel_tui import paths
from koel_tui.setting_sources import may_be_set

MIN_COLUMNS = 60
MIN_ROWS = 15
"""`MIN_COLUMNS` by `MIN_ROWS` is the smallest terminal for the app."""
_KEY_FILE = "keys.json"
"""The storage's key file; a copy of its name, because importing the storage delays each start."""


@dataclass(frozen=True, slots=True)
class StartSettings:
    """The settings of the mode and appearance of the app."""

    theme: str | None = None
    plain: bool = False
    low_bandwidth: bool = False
    notify: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)


def load_start_settings(theme: str | None, plain: bool, low_bandwidth: bool) -> StartSettings:
    """Return the startup settings from flags, else from the environment and config.toml.

    Loading all settings takes longer than the first paint, so it is done only if one of these may
    be set there. Raises `SettingsError`.
    """
    given = StartSettings(theme, plain, low_bandwidth)
    if not may_be_set(StartSettings.__slots__):
        return given
    from koel_tui.settings import load_settings

    settings = load_settings(theme=theme, plain=plain or None, low_bandwidth=low_bandwidth or None)
    return StartSettings(**{name: getattr(settings, name) for name in StartSettings.__slots__})


def is_encrypted() -> bool:
    """Return whether the saved threads are encrypted."""
    return (paths.threads_dir() / _KEY_FILE).exists()


def why_window_impossible(
    columns: int, rows: int, terminal: str | None, *, stderr_is_terminal: bool = True
) -> str:
    """Return the reason why the app cannot run in a terminal, or ''.

    A size of 0 is unknown. The app draws on stderr.
    """
    if not stderr_is_terminal:
        return "The window is drawn on stderr, which is not a terminal"
    if terminal == "dumb":
        return "This terminal cannot move its cursor (TERM=dumb)"
    if 0 < columns < MIN_COLUMNS or 0 < rows < MIN_ROWS:
        return (
            f"This terminal is {columns} columns by {rows} rows; "
            f"the window needs {MIN_COLUMNS} by {MIN_ROWS}"
        )
    return ""
