"""The commands `koel-chat config path` and `show`."""

import json
from typing import TYPE_CHECKING, Any

import click

from koel_tui import paths
from koel_tui.text import safe_text

if TYPE_CHECKING:
    from koel_tui.settings import Settings


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
    from koel_tui.settings import load_settings

    settings = load_settings()
    for name in type(settings).model_fields:
        if as_json:
            click.echo(json.dumps(_as_json(settings, name)))
        else:
            click.echo(safe_text("\n".join([*_format_lines(settings, name), ""])))


def _format_lines(settings: "Settings", name: str) -> list[str]:
    from koel_tui.cli.config.toml import KEYS_TABLE, format_toml, key_table
    from koel_tui.setting_sources import Origin, setting_origin
    from koel_tui.ui.keys.keymap import parse_keymap

    value, origin = getattr(settings, name), setting_origin(name)
    head = f"# {type(settings).model_fields[name].description}"
    if name == KEYS_TABLE:
        origins = dict.fromkeys(settings.keys, origin)
        table = key_table(
            parse_keymap(settings.keys),
            lambda key: f"{key.help}; {origins.get(key.id, Origin.DEFAULT)}",
        )
        return [head, *table]
    if value is None:
        return [head, f"# {name} is not set ({origin})"]
    return [head, f"{name} = {format_toml(value)}  # {origin}"]


def _as_json(settings: "Settings", name: str) -> dict[str, Any]:
    from koel_tui.cli.config.toml import KEYS_TABLE
    from koel_tui.setting_sources import setting_origin
    from koel_tui.ui.keys.keymap import parse_keymap

    value = getattr(settings, name)
    if name == KEYS_TABLE:
        keymap = parse_keymap(value)
        value = {key.id: key.keys for key in keymap.keys}
    elif isinstance(value, tuple):
        value = [str(each) for each in value]
    elif not isinstance(value, bool | int | float | None):
        value = str(value)
    return {
        "name": name,
        "value": value,
        "source": setting_origin(name),
        "description": type(settings).model_fields[name].description,
    }
