"""The command `koel-chat models`, for local models and downloads."""

import click

from koel_tui.cli.lazy import LazyGroup

_HERE = "koel_tui.cli.models"
_COMMANDS = {
    "list": f"{_HERE}.listing:list_models",
    "pull": f"{_HERE}.pulling:pull",
    "probe": f"{_HERE}.probing:probe",
    "remove": f"{_HERE}.removing:remove",
}


@click.group(cls=LazyGroup, places=_COMMANDS)
def models() -> None:
    """List, download, try and remove models.

    NAME is always one that `list` shows, as in `koel-chat --model NAME`.
    """
