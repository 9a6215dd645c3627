"""A group of commands, each imported when it is called."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from koel_tui.cli.debugging import DEBUG, debug_option


class LazyGroup(click.Group):
    """A group that finds its commands at places like `package.module:command`.

    Every command has the option --debug.
    """

    def __init__(self, *args: Any, places: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order they are shown."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, None when there is none of this name."""
        place = self.places.get(cmd_name)
        if place is None:
            return None
        module, name = place.split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        if not any(DEBUG in each.opts for each in command.params):
            command.params.append(debug_option())
        return command
