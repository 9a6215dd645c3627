"""The sources of settings, and the location of a setting in config.toml."""

import enum
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from koel_tui import paths
from koel_tui.system.regular_files import read_plain

PREFIX = "KOEL_"
MAX_BYTES = 256 * 1024
"""Maximum size of config.toml; all settings with their explanations take 3 KB."""


class Origin(enum.StrEnum):
    """The source of a setting's value if no flag gives it."""

    ENVIRONMENT = "environment"
    CONFIG = "config.toml"
    DEFAULT = "default"


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def origin_of(name: str) -> Origin:
    """Return the source of a setting's value; config.toml must be valid TOML."""
    if variable_of(name) in (each.upper() for each in os.environ):
        return Origin.ENVIRONMENT
    return Origin.CONFIG if name in _configured() else Origin.DEFAULT


def line_of(path: Iterable[str]) -> int | None:
    """Return the line number of a setting in config.toml, or None if it is not found.

    `path` contains the names of the enclosing tables and the key.
    """
    names = ".".join(path).split(".")
    parts = [rf"""["']?{re.escape(name)}["']?""" for name in names]
    # The line has the whole dotted name, or its last parts below a table header.
    for known in range(len(parts)):
        begins = re.compile(r"\s*" + r"\s*\.\s*".join(parts[known:]) + r"\s*=")
        for number, line in enumerate(_lines(), 1):
            if begins.match(line):
                return number
    return None


def settles(names: Iterable[str]) -> bool:
    """Return whether the environment or config.toml may contain one of these settings.

    Faster than loading the settings, and works if they are invalid.
    """
    said = "\n".join(line for line in _lines() if not line.lstrip().startswith("#"))
    environment = {name.upper() for name in os.environ}
    return any(name in said or variable_of(name) in environment for name in names)


def _lines() -> list[str]:
    return _text().split("\n")  # TOML's line end; splitlines() also splits at others


def config_bytes() -> bytes:
    """Return the content of config.toml, or b"" if it does not exist. Raises OSError."""
    try:
        return read_plain(paths.config_file(), MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _text() -> str:
    try:
        return config_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _configured() -> Mapping[str, Any]:
    import tomllib

    return tomllib.loads(_text())
