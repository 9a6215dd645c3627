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
    """Print where config.toml is, or would be.

    Themes of your own are read from the directory `themes` beside it.
    """
    click.echo(safe_text(str(paths.config_file())))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a setting.")
def show(as_json: bool) -> None:
    """Print the settings in force, and where each comes from.

    Each comes from the environment, from config.toml, or is the default. What is printed could be
    a config.toml itself.
    """
    from koel_tui.settings import load_settings

    settings = load_settings()
    for name in type(settings).model_fields:
        if as_json:
            click.echo(json.dumps(_as_json(settings, name)))
        else:
            click.echo(safe_text("\n".join([*_format_lines(settings, name), ""])))


def _format_lines(settings: "Settings", name: str) -> list[str]:
    from koel_tui.cli.config.toml import KEYS, key_table
    from koel_tui.config_file import format_toml
    from koel_tui.setting_sources import Origin, setting_origin
    from koel_tui.ui.keys.keymap import parse_keymap

    value, origin = getattr(settings, name), setting_origin(name)
    head = f"# {type(settings).model_fields[name].description}"
    if name == KEYS:
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
    from koel_tui.cli.config.toml import KEYS
    from koel_tui.setting_sources import setting_origin
    from koel_tui.ui.keys.keymap import parse_keymap

    value = getattr(settings, name)
    if name == KEYS:
        keymap = parse_keymap(value)
        value = {key.id: key.keys for key in (*keymap.prompt_keys, *keymap.app_keys)}
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
