"""The sources of settings, and the location of a setting in config.toml."""

import enum
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from koel_tui import paths
from koel_tui.system.regular_files import read_regular

VARIABLE_PREFIX = "KOEL_"
MAX_CONFIG_BYTES = 256 * 1024
"""Maximum size of config.toml; all settings with their explanations take 3 KB."""


class Origin(enum.StrEnum):
    """The source of a setting's value if no flag gives it."""

    ENVIRONMENT = "environment"
    CONFIG = "config.toml"
    DEFAULT = "default"


def variable_name(name: str) -> str:
    """Return the environment variable of a setting."""
    return VARIABLE_PREFIX + name.upper()


def setting_origin(name: str) -> Origin:
    """Return the source of a setting's value; config.toml must be valid TOML."""
    if variable_name(name) in (each.upper() for each in os.environ):
        return Origin.ENVIRONMENT
    return Origin.CONFIG if name in _parsed_config() else Origin.DEFAULT


def config_line(path: Iterable[str]) -> int | None:
    """Return the line number of a setting in config.toml, or None if it is not found.

    `path` contains the names of the enclosing tables and the key.
    """
    names = ".".join(path).split(".")
    parts = [rf"""["']?{re.escape(name)}["']?""" for name in names]
    # The line has the whole dotted name, or its last parts below a table header.
    for header_parts in range(len(parts)):
        pattern = re.compile(r"\s*" + r"\s*\.\s*".join(parts[header_parts:]) + r"\s*=")
        for number, line in enumerate(_lines(), 1):
            if pattern.match(line):
                return number
    return None


def may_be_set(names: Iterable[str]) -> bool:
    """Return whether the environment or config.toml may contain one of these settings.

    Faster than loading the settings, and works if they are invalid.
    """
    settings_text = "\n".join(line for line in _lines() if not line.lstrip().startswith("#"))
    environment = {name.upper() for name in os.environ}
    return any(name in settings_text or variable_name(name) in environment for name in names)


def _lines() -> list[str]:
    return _config_text().split("\n")  # TOML's line end; splitlines() also splits at others


def read_config() -> bytes:
    """Return the content of config.toml, or b"" if it does not exist. Raises OSError."""
    try:
        return read_regular(paths.config_file(), MAX_CONFIG_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _config_text() -> str:
    try:
        return read_config().decode("utf-8", "replace")
    except OSError:
        return ""


def _parsed_config() -> Mapping[str, Any]:
    import tomllib

    return tomllib.loads(_config_text())
