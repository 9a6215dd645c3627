"""The settings of the program: read, written to config.toml, and put in force while it runs."""

import asyncio
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App

from koel_tui import paths
from koel_tui.files import expanded
from koel_tui.text import safe_input
from koel_tui.ui.settings_list import Setting, settings_list, text_of

if TYPE_CHECKING:
    from koel_tui.settings import Settings
    from koel_tui.ui.attention import Attention
    from koel_tui.ui.startup import Startup


class RefusedError(Exception):
    """A setting cannot be what was written; the message says why."""


class ProgramSettings:
    """Reads and changes the settings; what of them holds at once has an effect here."""

    def __init__(
        self,
        flags: Mapping[str, object],
        effects: Mapping[str, Callable[[Any], None]],
        themes: Container[str],
    ) -> None:
        """Make it; `flags` are the settings given to this run, `themes` the names there are."""
        self._flags = {name: value for name, value in flags.items() if value is not None}
        self._effects = effects
        self._themes = themes

    async def all(self) -> list[Setting]:
        """Return every setting. Raises `SettingsError`."""
        return await asyncio.to_thread(self._list)

    async def change(self, setting: Setting, text: str) -> str:
        """Make a setting what a text says, from now on, and return when that is.

        Raises `RefusedError`: then nothing is changed.
        """
        try:
            value = setting.read(safe_input(text))
        except ValueError as error:
            raise RefusedError(str(error)) from None
        if setting.name == "theme" and value is not None and value not in self._themes:
            raise RefusedError(f"There is no theme {text!r}. Theme in the palette lists all.")
        now = await asyncio.to_thread(self._write, setting.name, value)
        words = f"{setting.name} is {text_of(now) or 'not set'}"
        if setting.name in self._flags:
            return f"{setting.name} is saved. The flag it was given holds until the program ends."
        if setting.name not in self._effects:
            return f"{words} from the next start on."
        self._effects[setting.name](now)
        return f"{words} now."

    def _list(self) -> list[Setting]:
        from koel_tui.origins import origin_of

        settings = self._load()
        origins = {name: origin_of(name) for name in type(settings).model_fields}
        return settings_list(settings, origins, self._flags)

    def _load(self) -> "Settings":
        from koel_tui.settings import load_settings

        return load_settings(**self._flags)

    def _write(self, name: str, value: object) -> object:
        """Write a setting, and return what it is then."""
        from koel_tui.config_file import ConfigFileError, set_value
        from koel_tui.models import ModelFileError, NoModelError
        from koel_tui.settings import SettingsError

        file = paths.config_file()
        try:
            set_value(file, name, self._found(name, value))
            return getattr(self._load(), name)
        except (ConfigFileError, ModelFileError, NoModelError, SettingsError) as error:
            raise RefusedError(str(error)) from error
        except (paths.DirectoryError, OSError) as error:
            why = getattr(error, "strerror", None) or error
            raise RefusedError(f"{file} cannot be written: {why}") from error

    def _found(self, name: str, value: object) -> object:
        """Return files and folders as they are found from anywhere, after looking for them."""
        from koel_tui.models import choose_model

        if name == "model" and isinstance(value, Path):
            choose_model(value, self._load().model_folders)
            return expanded(value).absolute() if expanded(value).exists() else value
        if name == "model_folders" and isinstance(value, tuple):
            folders = tuple(expanded(folder).absolute() for folder in value)
            for folder in folders:
                if not folder.is_dir():
                    raise RefusedError(f"There is no folder {folder}.")
            return folders
        return value


def show_settings(
    app: App[int], flags: Mapping[str, object], attention: "Attention", startup: "Startup"
) -> None:
    """Show the settings of the program, to change them."""
    from koel_tui.ui.settings_panel import SettingsPanel

    def make_titles(wanted: bool) -> None:
        if startup.backend is not None:
            startup.backend = replace(startup.backend, titles=wanted)

    effects: Mapping[str, Callable[[Any], None]] = {
        "theme": partial(setattr, app, "theme"),
        "notify": partial(setattr, attention, "wanted"),
        "titles": make_titles,
    }
    app.push_screen(SettingsPanel(ProgramSettings(flags, effects, app.available_themes)))
