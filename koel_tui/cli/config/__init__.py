"""The command `koel-chat config`, for the settings of the program."""

import click

from koel_tui.cli.lazy import LazyGroup

_HERE = "koel_tui.cli.config"
_COMMANDS = {
    "path": f"{_HERE}.showing:path",
    "show": f"{_HERE}.showing:show",
    "edit": f"{_HERE}.editing:edit",
}


@click.group(cls=LazyGroup, places=_COMMANDS)
def config() -> None:
    """Show and change the settings.

    A flag counts first, then the environment (KOEL_THEME for the setting theme, and so on), then
    the file config.toml, then what the program has by itself.

    \b
    Examples:
      koel-chat config edit
      koel-chat config show
      KOEL_TEMPERATURE=0 koel-chat config show --json
    """
