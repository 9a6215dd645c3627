"""The check of the installed versions."""

import importlib.metadata
import platform
import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass

from koel_tui import __version__
from koel_tui.cli.doctor.findings import Finding, problem, warning
from koel_tui.cli.exit_codes import Exit

_PACKAGE = "koel-tui"
_SHOWN = ("textual", "llama-cpp-python")
_PIN = re.compile(r"([\w.-]+)==([\w.+!]+)")


@dataclass(frozen=True, slots=True)
class Versions:
    """The installed versions; `pinned` are the packages pinned to one version."""

    installed: tuple[tuple[str, str], ...]
    pinned: tuple[tuple[str, str], ...]
    has_full_text_search: bool


def inspect() -> Versions:
    """Return the installed and the required versions."""
    pinned = []
    with suppress(importlib.metadata.PackageNotFoundError):
        for line in importlib.metadata.requires(_PACKAGE) or ():
            pin = _PIN.fullmatch(line)
            if pin is not None:
                pinned.append((pin[1], pin[2]))
    return Versions(
        installed=tuple((name, _version(name)) for name in _SHOWN),
        pinned=tuple(pinned),
        has_full_text_search=_has_full_text_search(),
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _has_full_text_search() -> bool:
    """Return whether SQLite was built with full-text search."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE said USING fts5(text)")
        except sqlite3.Error:
            return False
    return True


def evaluate(versions: Versions) -> tuple[Finding, ...]:
    """Return the findings about the installed versions."""
    return (
        Finding("koel-chat", __version__),
        Finding("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
        *(_package(versions, name, version) for name, version in versions.installed),
        _sqlite(versions),
        Finding("system", f"{platform.platform()}, {platform.machine()}"),
    )


def _package(versions: Versions, name: str, version: str) -> Finding:
    pinned = dict(versions.pinned).get(name, "")
    advice = f'Install it: pip install "{name}{f"=={pinned}" if pinned else ""}"'
    if not version:
        return problem(name, "not installed", advice, Exit.INTERNAL)
    if pinned and version != pinned:
        return warning(name, f"{version}, but koel-chat needs {pinned}", advice)
    return Finding(name, version)


def _sqlite(versions: Versions) -> Finding:
    if versions.has_full_text_search:
        return Finding("SQLite", sqlite3.sqlite_version)
    found = f"{sqlite3.sqlite_version}, without full-text search (FTS5)"
    return warning("SQLite", found, "To search threads, use a Python whose SQLite has FTS5.")
