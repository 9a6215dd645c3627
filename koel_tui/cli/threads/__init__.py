"""The command `koel-chat threads`, for saved threads."""

import click

from koel_tui.cli.lazy import LazyGroup

_PACKAGE = "koel_tui.cli.threads"
_COMMANDS = {
    "list": f"{_PACKAGE}.listing:list_threads",
    "show": f"{_PACKAGE}.listing:show",
    "search": f"{_PACKAGE}.searching:search",
    "rename": f"{_PACKAGE}.changing:rename",
    "export": f"{_PACKAGE}.exporting:export",
    "import": f"{_PACKAGE}.importing:import_threads",
    "delete": f"{_PACKAGE}.changing:delete",
    "restore": f"{_PACKAGE}.changing:restore",
    "encrypt": f"{_PACKAGE}.encrypting:encrypt",
    "decrypt": f"{_PACKAGE}.encrypting:decrypt",
    "passphrase": f"{_PACKAGE}.encrypting:passphrase",
}


@click.group(cls=LazyGroup, targets=_COMMANDS)
def threads() -> None:
    """List, search, change, export and encrypt saved threads.

    THREAD is always a title, an id or the beginning of an id.

    \b
    Examples:
      koel-chat threads list
      koel-chat threads search harbour storm
      koel-chat threads export "Trip to Rome" --format html
    """
