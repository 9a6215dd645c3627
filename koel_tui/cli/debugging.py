"""The option `--debug`, which shows the traceback of an error."""

import traceback
from dataclasses import dataclass

import click

from koel_tui.text import safe_text

DEBUG_OPTION = "--debug"


@dataclass(slots=True)
class Debugging:
    """A flag: whether --debug was given anywhere on the command line."""

    is_enabled: bool = False


def debug_option() -> click.Option:
    """Return the option --debug, which is added to every command."""
    return click.Option(
        [DEBUG_OPTION],
        is_flag=True,
        expose_value=False,
        callback=_set_flag,
        help="Print a traceback after an error.",
    )


def is_debug_requested() -> bool:
    """Return whether the current command was called with --debug."""
    context = click.get_current_context(silent=True)
    found = None if context is None else context.find_object(Debugging)
    return found is not None and found.is_enabled


def show_traceback(error: BaseException) -> None:
    """Print the traceback of an error, without local variables, which may contain user text."""
    click.echo(safe_text("".join(traceback.format_exception(error))), err=True, nl=False)


def _set_flag(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Debugging).is_enabled = True
