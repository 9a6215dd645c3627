"""Serialization of settings as TOML."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from koel_tui.settings import Settings
from koel_tui.ui.keys.key_table import Key
from koel_tui.ui.keys.keymap import NO_KEY, KeyMap

KEYS_TABLE = "keys"
"""The table of key bindings, the only setting that is a table."""
_HEADER = """\
# The settings of koel-chat. To change one, remove the "# " before it.
# `koel-chat config show` prints the settings in force, `koel-chat config path` the path.
"""


def format_toml(value: object) -> str:
    """Serialize a plain value as TOML, without tomlkit, whose import takes about 70 ms."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(format_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def key_table(keymap: KeyMap, note: Callable[[Key], str]) -> Iterator[str]:
    """Yield the lines of the table of key bindings, each with a note."""
    yield f"[{KEYS_TABLE}]"
    for key in keymap.keys:
        if not key.fixed:
            names = format_toml(", ".join(key.names) or NO_KEY)
            yield f"{format_toml(key.id)} = {names}  # {note(key)}"


def config_template() -> str:
    """Return a config.toml with every setting as a comment, with its description."""
    return "\n".join([_HEADER, *_template_lines()])


def _template_lines() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        yield f"# {field.description}"
        if name == KEYS_TABLE:
            yield from (f"# {line}" for line in key_table(KeyMap(), lambda key: key.help))
        else:
            # A setting without a default shows an example value.
            example: Any = field.examples[0] if field.examples else field.default
            yield f"# {name} = {format_toml(example)}"
        yield ""
