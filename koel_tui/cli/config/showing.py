"""The commands `koel-chat config path` and `show`."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from koel_tui import paths
from koel_tui.text import safe_text

if TYPE_CHECKING:
    from koel_tui.setting_sources import Origin
    from koel_tui.ui.keys.key_table import Key


@click.command()
def path() -> None:
    """Print the path of config.toml. The file need not exist.

    Your own themes are in the directory `themes` next to it.
    """
    click.echo(safe_text(str(paths.config_file())))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per setting.")
def show(as_json: bool) -> None:
    """Print every setting in force and its source.

    The source is the environment, config.toml or the default. The output is a valid config.toml.
    """
    from koel_tui.setting_sources import setting_origin
    from koel_tui.settings import load_settings

    settings = load_settings()
    for name, field in type(settings).model_fields.items():
        value, origin = getattr(settings, name), setting_origin(name)
        if as_json:
            entry = {
                "name": name,
                "value": _as_json(name, value),
                "source": origin,
                "description": field.description,
            }
            click.echo(json.dumps(entry))
        else:
            lines = [f"# {field.description}", *_format_lines(name, value, origin)]
            click.echo(safe_text("\n".join(lines)) + "\n")


def _format_lines(name: str, value: Any, origin: "Origin") -> Iterable[str]:
    """Return the lines of a setting in config.toml, with its source as a comment."""
    from koel_tui.cli.config.toml import KEYS_TABLE, format_toml, key_table
    from koel_tui.setting_sources import Origin
    from koel_tui.ui.keys.keymap import parse_keymap

    if name == KEYS_TABLE:

        def note(key: "Key") -> str:
            return f"{key.help}; {origin if key.id in value else Origin.DEFAULT}"

        return key_table(parse_keymap(value), note)
    if value is None:
        return [f"# {name} is not set ({origin})"]
    return [f"{name} = {format_toml(value)}  # {origin}"]


def _as_json(name: str, value: Any) -> Any:
    """Return the value of a setting as JSON; all keys, not only those that the user remapped."""
    from koel_tui.cli.config.toml import KEYS_TABLE
    from koel_tui.ui.keys.keymap import parse_keymap

    if name == KEYS_TABLE:
        return {key.id: key.keys for key in parse_keymap(value).keys}
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return value if isinstance(value, bool | int | float | None) else str(value)
