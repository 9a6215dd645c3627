"""The command `koel-chat config`, for the settings of the program."""

import click

from koel_tui.cli.lazy import LazyGroup

_PACKAGE = "koel_tui.cli.config"
_COMMANDS = {
    "path": f"{_PACKAGE}.showing:path",
    "show": f"{_PACKAGE}.showing:show",
    "edit": f"{_PACKAGE}.editing:edit",
}


@click.group(cls=LazyGroup, targets=_COMMANDS)
def config() -> None:
    """Show and change the settings.

    An option wins over the environment (KOEL_THEME for the setting theme), the environment over
    config.toml, and config.toml over the default.

    \b
    Examples:
      koel-chat config edit
      koel-chat config show
      KOEL_TEMPERATURE=0 koel-chat config show --json
    """
