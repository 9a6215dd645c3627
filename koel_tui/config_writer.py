"""Changes one setting in config.toml; the rest of the file is preserved byte for byte."""

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui import paths
from koel_tui.setting_sources import MAX_CONFIG_BYTES
from koel_tui.system.regular_files import read_regular

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tomlkit import TOMLDocument
    from tomlkit.items import Item, Key


class ConfigFileError(Exception):
    """config.toml cannot be changed; the message gives the reason and the remedy."""


def set_setting(path: Path, name: str, value: object) -> None:
    """Set a top-level setting to `value`; None removes the setting.

    The rest of the file is preserved byte for byte, and an unchanged file is not written. Raises
    `ConfigFileError` if the file cannot be changed safely, OSError or `DirectoryError` if it
    cannot be written.
    """
    target = path.resolve()  # an atomic write to a symbolic link would replace the link
    before = _read_text(target)
    settings = _parse(before, path)
    if isinstance(settings.get(name), dict):
        raise ConfigFileError(
            f"{name!r} is a table in {path}. Change it there: koel-chat config edit"
        )
    if value is None and name not in settings:
        return
    # Only types that TOML has, so that it can be compared: a path as a string, a tuple as a list.
    plain_value = json.loads(json.dumps(value, default=str))
    expected = {**settings, name: plain_value}
    if value is None:
        del expected[name]
    after = _replace_setting(before, name, plain_value)
    if after is None or _parse(after, path) != expected:
        raise ConfigFileError(
            f"{name!r} cannot be changed in {path} without changing the rest. Change it by hand: "
            "koel-chat config edit"
        )
    if after != before:
        from koel_tui.system.atomic_write import write_atomically

        paths.private_directory(path.parent)
        write_atomically(target, after.encode())


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


def _replace_setting(text: str, name: str, value: object) -> str | None:
    """Return the text with a setting replaced, or None if tomlkit cannot do that safely.

    tomlkit must reproduce the unchanged text exactly. Arrays of tables are not replaced.
    """
    import tomlkit  # imported here, because most starts change no setting
    from tomlkit.exceptions import TOMLKitError
    from tomlkit.items import AoT

    try:
        document = tomlkit.parse(text)
        if document.as_string() != text or isinstance(document.get(name), AoT):
            return None
        if value is None:
            document.pop(name, None)
        elif name in document:
            document[name] = value
        else:
            _insert(document, text, name, value)
        return document.as_string()
    except (TOMLKitError, RecursionError):  # for example, arrays nested too deeply for tomlkit
        return None


def _insert(document: "TOMLDocument", text: str, name: str, value: object) -> None:
    """Insert a new setting into a document; `text` is the document as text.

    `TOMLDocument.add` would ignore the commented example of the setting, and would separate the
    first table from the comments above it.
    """
    import tomlkit

    rows = document.body
    index = _insertion_index(rows, name)
    setting = tomlkit.item(value)
    line_break = "\r\n" if "\r\n" in text else "\n"
    setting.trivia.trail = line_break
    if index == len(rows) and text and not text.endswith("\n"):
        setting.trivia.indent = line_break  # ends the last line of the file
    rows.insert(index, (tomlkit.key(name), setting))


def _insertion_index(rows: "Sequence[tuple[Key | None, Item]]", name: str) -> int:
    """Return the index for a new setting in the rows of a document.

    It is below the commented example of the setting, else below the last setting, else above the
    first table and the comments directly above that, else at the end.
    """
    from tomlkit.items import AoT, Comment, Table

    example = re.compile(rf"#\s*{re.escape(name)}\s*=")
    below_settings = above_table = 0
    for index, (key, item) in enumerate(rows, start=1):
        if isinstance(item, Comment):
            if example.match(item.trivia.comment):
                return index
            continue
        if key and isinstance(item, AoT | Table) and not key.is_dotted():
            return below_settings or above_table
        if key:
            below_settings = index
        above_table = index
    return below_settings or len(rows)
