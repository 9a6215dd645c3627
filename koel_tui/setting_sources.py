"""Where a setting comes from, and where it stands in config.toml."""

import enum
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from koel_tui import paths
from koel_tui.system.regular_files import read_plain

PREFIX = "KOEL_"
MAX_BYTES = 256 * 1024
"""What config.toml may have at most; all its settings with their explanations are 3 KB."""


class Origin(enum.StrEnum):
    """What said how a setting is to be, where no flag did."""

    ENVIRONMENT = "environment"
    CONFIG = "config.toml"
    DEFAULT = "default"


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def origin_of(name: str) -> Origin:
    """Return where the value of a setting comes from; config.toml must be readable TOML."""
    if variable_of(name) in (each.upper() for each in os.environ):
        return Origin.ENVIRONMENT
    return Origin.CONFIG if name in _configured() else Origin.DEFAULT


def line_of(path: Iterable[str]) -> int | None:
    """Return the number of the line in config.toml that says this, None when none is found.

    `path` are the names of the tables a value is in, and its own.
    """
    names = ".".join(path).split(".")
    parts = [rf"""["']?{re.escape(name)}["']?""" for name in names]
    # The whole name stands on the line, or the last of it below the header of its table.
    for known in range(len(parts)):
        begins = re.compile(r"\s*" + r"\s*\.\s*".join(parts[known:]) + r"\s*=")
        for number, line in enumerate(_lines(), 1):
            if begins.match(line):
                return number
    return None


def settles(names: Iterable[str]) -> bool:
    """Say whether environment or config.toml may say something of one of these settings.

    Quicker than to read the settings, which need not be right for this.
    """
    said = "\n".join(line for line in _lines() if not line.lstrip().startswith("#"))
    environment = {name.upper() for name in os.environ}
    return any(name in said or variable_of(name) in environment for name in names)


def _lines() -> list[str]:
    return _text().split("\n")  # where TOML ends a line: splitlines() knows more ends


def config_bytes() -> bytes:
    """Return what is in config.toml, nothing when there is none. Raises OSError."""
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
