"""User themes: TOML files with the fields of Textual's `Theme`."""

import asyncio
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from textual.app import App
from textual.color import Color, ColorParseError
from textual.css.errors import StylesheetError
from textual.css.stylesheet import Stylesheet, StylesheetParseError
from textual.css.tokenizer import TokenError
from textual.design import ColorSystem
from textual.theme import Theme

from koel_tui.system.regular_files import NotRegularFileError, TooLargeError, read_regular
from koel_tui.text import safe_line

_MAX_BYTES = 64 * 1024
_MAX_FILES = 100
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_VALUE = re.compile(r"[\w#%., ()-]{1,100}")
_BOOLEANS = ("dark", "ansi")
_FRACTIONS = ("luminosity_spread", "text_alpha")
_TEXT_STYLE = "text-style: {};"
_COLOR_RULES = ("color: {};", "background: {};", "border: tall {};", "tint: {};")
_STYLE_ERRORS = (StylesheetError, StylesheetParseError, TokenError)


class ThemeError(Exception):
    """A theme cannot be used; the message gives the reason."""


class UserThemes:
    """Registers the themes of a directory in addition to Textual's, and reports invalid ones."""

    def __init__(self, directory: Path | None, notify: Callable[[str], None]) -> None:
        self._directory = directory
        self._notify = notify

    async def register(self, app: App[int]) -> None:
        """Read the themes and register them in the app; only the first call has an effect."""
        directory, self._directory = self._directory, None
        if directory is None:
            return
        themes, problems = await asyncio.to_thread(read_themes, directory, app.available_themes)
        for theme in themes:
            app.register_theme(theme)
        for problem in problems:
            self._notify(problem)


def read_themes(directory: Path, taken: Container[str]) -> tuple[list[Theme], list[str]]:
    """Return the valid themes of a directory, and a message for each invalid one.

    `taken` contains the names of existing themes.
    """
    themes: dict[str, Theme] = {}
    problems = []
    try:
        files = sorted(directory.glob("*.toml"))
    except OSError as error:
        return [], [f"The themes in {directory} cannot be read: {error.strerror or error}."]
    if len(files) > _MAX_FILES:
        problems.append(
            f"Only the first {_MAX_FILES} of {len(files)} themes are read. Remove some."
        )
    for file in files[:_MAX_FILES]:
        try:
            theme = parse_theme(_load(file))
            if theme.name in taken or theme.name in themes:
                raise ThemeError(f"a theme {theme.name!r} exists already; choose another name")
            themes[theme.name] = theme
        except ThemeError as error:
            problems.append(f"The theme in {safe_line(file.name, 60)} was skipped: {error}.")
    return list(themes.values()), problems


def parse_theme(source: Mapping[str, Any]) -> Theme:
    """Return the theme with these fields. Raises `ThemeError`."""
    known = {field.name for field in fields(Theme)}
    for field, value in source.items():
        if field not in known:
            raise ThemeError(f"{safe_line(field, 40)!r} is not a field of a theme")
        if why := _field_problem(field, value):
            raise ThemeError(f"{field} {why}")
    for field in ("name", "primary"):
        if field not in source:
            raise ThemeError(f"{field} is missing")
    return Theme(**source)


def _load(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(read_regular(file, _MAX_BYTES).decode("utf-8"))
    except NotRegularFileError as error:
        raise ThemeError("it is not a regular file") from error
    except TooLargeError as error:
        raise ThemeError(str(error.strerror)) from error
    except OSError as error:
        raise ThemeError(f"it cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # not valid UTF-8 or not valid TOML
        raise ThemeError(f"it is not valid TOML: {safe_line(str(error))}") from error


def _field_problem(field: str, value: object) -> str:
    """Return what is wrong with the value of a field; empty if it is valid."""
    if field == "name":
        is_valid = isinstance(value, str) and _NAME.fullmatch(value) is not None
        return "" if is_valid else "must be a word of letters, digits, - and _"
    if field in _BOOLEANS:
        return "" if isinstance(value, bool) else "must be true or false"
    if field in _FRACTIONS:
        is_valid = (
            isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        )
        return "" if is_valid else "must be a number from 0 to 1"
    if field == "variables":
        return _variable_problem(value) if isinstance(value, Mapping) else "must be a table"
    return "" if _is_color(value) else 'must be a colour like "#ffa62b"'


def _is_color(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(Color.parse(value))
    except ColorParseError:
        return False


def _variable_problem(variables: Mapping[str, object]) -> str:
    """Return the error of the first variable that breaks a style sheet; empty if none does.

    Textual does not check them when a theme is registered.
    """
    defaults = ColorSystem(primary="#0178D4").generate()
    for name, value in variables.items():
        if name not in defaults:
            return f"has the unknown variable {safe_line(name, 40)!r}"
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            return f"has an invalid value for {name}"
        if not all(_is_valid_rule(rule, value) for rule in _matching_rules(defaults[name])):
            return f"has a value for {name} that cannot replace {defaults[name]!r}"
    return ""


def _matching_rules(value: str) -> list[str]:
    """Return the style rules that a value of this kind must fit."""
    colors = [rule for rule in _COLOR_RULES if _is_valid_rule(rule, value)]
    return colors if _COLOR_RULES[0] in colors else [_TEXT_STYLE]


def _is_valid_rule(rule: str, value: str) -> bool:
    """Return whether a value is valid in a style rule."""
    sheet = Stylesheet()
    sheet.add_source(f"Static {{ {rule.format(value)} }}")
    try:
        sheet.parse()
    except _STYLE_ERRORS:
        return False
    return True
