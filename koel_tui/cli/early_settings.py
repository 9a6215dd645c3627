"""The settings that are needed before the first paint."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from koel_tui import paths
from koel_tui.limits import LINE_LENGTH
from koel_tui.setting_sources import may_be_set

_KEY_FILE = "keys.json"
"""The storage's key file; a copy of its name, because importing the storage delays each start."""


@dataclass(frozen=True, slots=True)
class StartSettings:
    """The settings of the mode and appearance of the app."""

    theme: str | None = None
    plain: bool = False
    low_bandwidth: bool = False
    notify: bool = True
    line_length: int = LINE_LENGTH
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
