"""A click group that imports its commands lazily."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from koel_tui.cli.debugging import DEBUG_OPTION, debug_option


class LazyGroup(click.Group):
    """A group of lazily imported commands; `targets` has values like `package.module:command`.

    The option --debug is added to every command.
    """

    def __init__(self, *args: Any, targets: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.targets = targets

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in display order."""
        return list(self.targets)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or return None for an unknown name."""
        target = self.targets.get(cmd_name)
        if target is None:
            return None
        module, name = target.split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        if not any(DEBUG_OPTION in each.opts for each in command.params):
            command.params.append(debug_option())
        return command
