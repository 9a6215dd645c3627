"""The program settings: loaded, written to `config.toml`, and applied at run time."""

import asyncio
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from koel_tui import paths
from koel_tui.system.regular_files import exists, expand_user, is_directory
from koel_tui.text import safe_input
from koel_tui.ui.settings.setting import Setting, format_value, list_settings

if TYPE_CHECKING:
    from koel_tui.settings import Settings


def unknown_theme_message(name: str) -> str:
    """Return the message for the name of a theme that does not exist."""
    return f"There is no theme {name!r}. The palette command Theme lists all themes."


class InvalidValueError(Exception):
    """A value is not valid for a setting; the message gives the reason."""


class SettingsStore:
    """Loads and changes the settings; those in `effects` are applied immediately."""

    def __init__(
        self,
        flags: Mapping[str, object],
        effects: Mapping[str, Callable[[Any], None]],
        themes: Container[str],
    ) -> None:
        """`flags` are the command line settings of this run, `themes` the available themes."""
        self._flags = {name: value for name, value in flags.items() if value is not None}
        self._effects = effects
        self._themes = themes

    async def all(self) -> list[Setting]:
        """Return every setting. Raises `SettingsError`."""
        return await asyncio.to_thread(self._list)

    async def change(self, setting: Setting, text: str) -> str:
        """Set a setting from text and return a message that says when the value takes effect.

        Raises `InvalidValueError`; then nothing is changed.
        """
        try:
            value = setting.parse(safe_input(text))
        except ValueError as error:
            raise InvalidValueError(str(error)) from None
        if setting.name == "theme" and value is not None and value not in self._themes:
            raise InvalidValueError(unknown_theme_message(text))
        now = await asyncio.to_thread(self._write, setting.name, value)
        message = f"{setting.name} is {format_value(now) or 'not set'}"
        if setting.name in self._flags:
            return (
                f"{setting.name} is saved. The command-line value applies until the program ends."
            )
        if setting.name not in self._effects:
            return f"{message} from the next start on."
        self._effects[setting.name](now)
        return f"{message} now."

    def _list(self) -> list[Setting]:
        from koel_tui.setting_sources import setting_origin

        settings = self._load()
        origins = {name: setting_origin(name) for name in type(settings).model_fields}
        return list_settings(settings, origins, self._flags)

    def _load(self) -> "Settings":
        from koel_tui.settings import load_settings

        return load_settings(**self._flags)

    def _write(self, name: str, value: object) -> object:
        """Write a setting and return its resulting value."""
        from koel_tui.config_writer import ConfigFileError, set_setting
        from koel_tui.models import ModelFileError, NoModelError
        from koel_tui.settings import SettingsError

        file = paths.config_file()
        try:
            set_setting(file, name, self._resolve_paths(name, value))
            return getattr(self._load(), name)
        except (ConfigFileError, ModelFileError, NoModelError, SettingsError) as error:
            raise InvalidValueError(str(error)) from error
        except (paths.DirectoryError, OSError) as error:
            why = getattr(error, "strerror", None) or error
            message = f"{file} cannot be written: {why}. Check its permissions."
            raise InvalidValueError(message) from error

    def _resolve_paths(self, name: str, value: object) -> object:
        """Make paths absolute. Raises `InvalidValueError` if a directory does not exist."""
        from koel_tui.models import choose_model

        if name == "model" and isinstance(value, Path):
            choose_model(value, self._load().model_folders)
            return expand_user(value).absolute() if exists(expand_user(value)) else value
        if name == "model_folders" and isinstance(value, tuple):
            folders = tuple(expand_user(folder).absolute() for folder in value)
            for folder in folders:
                if not is_directory(folder):
                    raise InvalidValueError(
                        f"There is no directory {folder}. Create it, or correct the path."
                    )
            return folders
        return value
