"""The check of the configuration: config.toml and the variables KOEL_*."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui import paths
from koel_tui.cli.doctor.findings import Finding, problem, warning
from koel_tui.cli.exit_codes import Exit
from koel_tui.system.regular_files import expand_user, is_directory

if TYPE_CHECKING:
    from koel_tui.settings import Settings

_OTHER_VARIABLES = ("KOEL_PASSPHRASE_FILE",)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The state of the configuration; `error` is set if it is invalid."""

    file: Path
    exists: bool
    variables: tuple[str, ...]
    known: tuple[str, ...]
    settings: "Settings | None" = None
    error: str = ""


def inspect(environ: Mapping[str, str] = os.environ) -> Configuration:
    """Load the configuration as the app does. The error never contains a value."""
    from koel_tui.settings import Settings, SettingsError, load_settings

    settings, error = None, ""
    try:
        settings = load_settings()
        _check_keys(settings)
    except SettingsError as found:
        error = str(found)
    file = paths.config_file()
    return Configuration(
        file=file,
        exists=file.exists(),
        variables=tuple(sorted(name for name in environ if name.upper().startswith("KOEL_"))),
        known=tuple(f"KOEL_{name.upper()}" for name in Settings.model_fields) + _OTHER_VARIABLES,
        settings=settings,
        error=error,
    )


def _check_keys(settings: "Settings") -> None:
    if settings.keys:
        from koel_tui.ui.keys.keymap import parse_keymap

        parse_keymap(settings.keys)


def evaluate(configuration: Configuration) -> tuple[Finding, ...]:
    """Return the findings about the configuration."""
    return (_file(configuration), _variables(configuration), *_folders(configuration))


def _file(configuration: Configuration) -> Finding:
    where = str(configuration.file)
    if configuration.error:
        advice = "Correct it: koel-chat config edit"
        return problem("settings", configuration.error, advice, Exit.BAD_CONFIG)
    if not configuration.exists:
        return Finding("settings", f"{where}: not there; the defaults apply")
    return Finding("settings", f"{where}: valid")


def _variables(configuration: Configuration) -> Finding:
    names = configuration.variables
    strange = [name for name in names if name.upper() not in configuration.known]
    if not strange:
        return Finding("variables", ", ".join(names) or "none of KOEL_*")
    matches = difflib.get_close_matches(strange[0].upper(), configuration.known, 1)
    hint = (
        f"Did you mean {matches[0]}?" if matches else "`koel-chat config show` lists all settings."
    )
    return warning("variables", f"{', '.join(strange)}: no such setting", hint)


def _folders(configuration: Configuration) -> tuple[Finding, ...]:
    if configuration.settings is None:
        return ()
    missing = [
        str(folder)
        for folder in configuration.settings.model_folders
        if not is_directory(expand_user(folder))
    ]
    if not missing:
        return ()
    advice = "Correct model_folders: koel-chat config edit"
    return (warning("model folders", f"{', '.join(missing)}: no such directory", advice),)
