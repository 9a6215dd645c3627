"""The command `koel-chat models`, for local models and downloads."""

import click

from koel_tui.cli.lazy import LazyGroup

_PACKAGE = "koel_tui.cli.models"
_COMMANDS = {
    "list": f"{_PACKAGE}.listing:list_models",
    "pull": f"{_PACKAGE}.pulling:pull",
    "probe": f"{_PACKAGE}.probing:probe",
    "remove": f"{_PACKAGE}.removing:remove",
}


@click.group(cls=LazyGroup, targets=_COMMANDS)
def models() -> None:
    """List, download, test and remove models.

    NAME is a name that `list` shows, also in `koel-chat --model NAME`.
    """
