"""The command `koel-chat threads`, for saved threads."""

import click

from koel_tui.cli.lazy import LazyGroup

_HERE = "koel_tui.cli.threads"
_COMMANDS = {
    "list": f"{_HERE}.listing:list_threads",
    "show": f"{_HERE}.listing:show",
    "search": f"{_HERE}.searching:search",
    "rename": f"{_HERE}.changing:rename",
    "export": f"{_HERE}.exporting:export",
    "import": f"{_HERE}.importing:import_threads",
    "delete": f"{_HERE}.changing:delete",
    "restore": f"{_HERE}.changing:restore",
    "encrypt": f"{_HERE}.encrypting:encrypt",
    "decrypt": f"{_HERE}.encrypting:decrypt",
    "passphrase": f"{_HERE}.encrypting:passphrase",
}


@click.group(cls=LazyGroup, places=_COMMANDS)
def threads() -> None:
    """List, search, change, move and encrypt saved threads.

    THREAD is always a title, an id or the beginning of an id.

    \b
    Examples:
      koel-chat threads list
      koel-chat threads search harbour storm
      koel-chat threads export "Trip to Rome" --format html
    """
