"""Editing of one setting in config.toml; the rest of the file is preserved byte for byte."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from koel_tui import paths
from koel_tui.setting_sources import MAX_CONFIG_BYTES
from koel_tui.system.regular_files import read_regular


class ConfigFileError(Exception):
    """config.toml cannot be changed; the message gives the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class _Statement:
    """A top-level statement: its keys and character range; no keys means a comment."""

    names: frozenset[str]
    start: int
    end: int


def set_setting(path: Path, name: str, value: object) -> None:
    """Set a top-level setting to `value`; None removes the setting.

    The rest of the file is preserved byte for byte, and an unchanged file is not written. Raises
    `ConfigFileError` if the file cannot be changed safely, OSError or `DirectoryError` if it
    cannot be written.
    """
    file = path.resolve()  # an atomic write would replace the link itself
    before = _read_text(file)
    known = _parse(before, path)
    if isinstance(known.get(name), dict):
        raise ConfigFileError(
            f"{name!r} is a table in {path}. Change it there: koel-chat config edit"
        )
    after = _replace_setting(before, name, value)
    # Convert to the types that TOML parses to: a path to a string, a tuple to a list.
    expected = {**known, name: json.loads(json.dumps(value, default=str))}
    if value is None:
        del expected[name]
    if _parse(after, path) != expected:
        raise ConfigFileError(
            f"{name!r} cannot be changed in {path} as it is written there. Change it by hand: "
            "koel-chat config edit"
        )
    if after != before:
        from koel_tui.system.atomic_write import write_atomically

        paths.private_directory(path.parent)
        write_atomically(file, after.encode())


def format_toml(value: object) -> str:
    """Serialize a plain value as TOML."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(format_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _read_text(file: Path) -> str:
    try:
        return read_regular(file, MAX_CONFIG_BYTES).decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"{file} is not UTF-8 text ({error}). Correct it first.") from error


def _parse(text: str, path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigFileError(
            f"{path} is not valid TOML: {error}. Correct it first: koel-chat config edit"
        ) from error


def _replace_setting(text: str, name: str, value: object) -> str:
    statements = list(_split_statements(text))
    parsed = next((each for each in statements if name in each.names), None)
    if parsed is not None:
        old = text[parsed.start : parsed.end]
        new = "" if value is None else _replace_value(old, format_toml(value))
        return text[: parsed.start] + new + text[parsed.end :]
    if value is None:
        return text
    index = _insertion_index(text, statements, name)
    before = text[:index]
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = newline if before and not before.endswith("\n") else ""
    return f"{before}{gap}{name} = {format_toml(value)}{newline}{text[index:]}"


def _split_statements(text: str) -> Iterator[_Statement]:
    """Yield the statements before the first table; one statement may span several lines."""
    start = end = 0
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if start == end and line.lstrip().startswith("["):
            return
        end += len(line)
        try:
            parsed = tomllib.loads(text[start:end])
        except tomllib.TOMLDecodeError:
            continue  # the statement continues on the next line
        yield _Statement(frozenset(parsed), start, end)
        start = end


def _replace_value(statement: str, value: str) -> str:
    """Return a statement with its value replaced; the text before and after the value is kept."""
    equals = statement.index("=") + 1
    parsed = tomllib.loads(statement)
    end = len(statement.rstrip())
    for comment in re.finditer("#", statement):
        try:
            if tomllib.loads(statement[: comment.start()]) == parsed:
                end = len(statement[: comment.start()].rstrip())
                break
        except tomllib.TOMLDecodeError:
            continue  # this # is part of the value
    gap = re.match(r"[ \t]*", statement[equals:])
    head = statement[: equals + (gap.end() if gap else 0)]
    return head + value + statement[end:]


def _insertion_index(text: str, statements: list[_Statement], name: str) -> int:
    """Return the index for a new setting: below its commented example, else after the others."""
    example = re.compile(rf"\s*#\s*{re.escape(name)}\s*=")
    for each in statements:
        if not each.names and example.match(text[each.start : each.end]):
            return each.end
    others = [each.end for each in statements if each.names]
    if others:
        return others[-1]
    # Insert above the first table and its comments.
    index = statements[-1].end if statements else 0
    if index < len(text):
        for each in reversed(statements):
            if not text[each.start : each.end].strip():
                break
            index = each.start
    return index
