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
    from tomlkit import TOMLDocument


class ConfigFileError(Exception):
    """config.toml cannot be changed; the message gives the reason and the remedy."""


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
    if value is None and name not in known:
        return
    # Convert to the types that TOML parses to: a path to a string, a tuple to a list.
    plain = json.loads(json.dumps(value, default=str))
    expected = {**known, name: plain}
    if value is None:
        del expected[name]
    after = _replace_setting(before, name, plain)
    if after is None or _parse(after, path) != expected:
        raise ConfigFileError(
            f"{name!r} cannot be changed in {path} as it is written there. Change it by hand: "
            "koel-chat config edit"
        )
    if after != before:
        from koel_tui.system.atomic_write import write_atomically

        paths.private_directory(path.parent)
        write_atomically(file, after.encode())


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
    """Return the text with a setting replaced, or None if tomlkit does not preserve the rest."""
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
    """Insert a setting below its commented example, else after the others; `text` is the document.

    `TOMLDocument.add` ignores the example, and separates the first table from its comments.
    """
    import tomlkit
    from tomlkit.items import AoT, Comment, Table

    example = re.compile(rf"#\s*{re.escape(name)}\s*=")
    rows = document.body
    position = above_table = 0
    for index, (key, item) in enumerate(rows, start=1):
        if key and isinstance(item, AoT | Table) and not key.is_dotted():
            break
        if isinstance(item, Comment) and example.match(item.trivia.comment):
            position = index
            break
        if key:
            position = index
        if not isinstance(item, Comment):
            above_table = index  # and above the comments of the table
    else:
        above_table = len(rows)
    position = position or above_table
    new = tomlkit.item(value)
    new.trivia.trail = "\r\n" if "\r\n" in text else "\n"
    if position == len(rows) and text and not text.endswith("\n"):
        new.trivia.indent = new.trivia.trail
    rows.insert(position, (tomlkit.key(name), new))
