"""What the start has to know before there is anything to see."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from koel_tui import paths
from koel_tui.setting_sources import settles

MIN_COLUMNS = 60
MIN_ROWS = 15
"""The smallest terminal the window fits."""
_KEY_FILE = "keys.json"
"""As the storage names it; to import that would delay every start."""


@dataclass(frozen=True, slots=True)
class Start:
    """The settings that say what is opened and how it looks."""

    theme: str | None = None
    plain: bool = False
    low_bandwidth: bool = False
    notify: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)


def start_settings(theme: str | None, plain: bool, low_bandwidth: bool) -> Start:
    """Return the settings of the start: flags, else what environment and config.toml say.

    Reading all settings takes longer than the first paint: it is done only where one of these is
    named. Raises `SettingsError`.
    """
    given = Start(theme, plain, low_bandwidth)
    if not settles(Start.__slots__):
        return given
    from koel_tui.settings import load_settings

    settings = load_settings(theme=theme, plain=plain or None, low_bandwidth=low_bandwidth or None)
    return Start(**{name: getattr(settings, name) for name in Start.__slots__})


def are_encrypted() -> bool:
    """Say whether the saved threads are encrypted."""
    return (paths.threads_dir() / _KEY_FILE).exists()


def misfit(columns: int, rows: int, terminal: str | None, *, seen: bool = True) -> str:
    """Return why the window cannot be shown on a terminal; empty when it can.

    A size of 0 is one that nobody knows. `seen` is whether stderr is there, on which it is drawn.
    """
    if not seen:
        return "The window is drawn on stderr, which goes elsewhere"
    if terminal == "dumb":
        return "This terminal cannot move its cursor (TERM=dumb)"
    if 0 < columns < MIN_COLUMNS or 0 < rows < MIN_ROWS:
        return (
            f"This terminal is {columns} columns by {rows} rows; "
            f"the window needs {MIN_COLUMNS} by {MIN_ROWS}"
        )
    return ""
