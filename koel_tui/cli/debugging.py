"""`--debug`: the traceback of what went wrong."""

import traceback

import click

from koel_tui.text import safe_text

DEBUG = "--debug"


def asked_for() -> bool:
    """Return whether the command that runs was called with --debug."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().params.get("debug"))


def show_traceback(error: BaseException) -> None:
    """Print the traceback of an error, without local variables: they hold what users wrote."""
    click.echo(safe_text("".join(traceback.format_exception(error))), err=True, nl=False)
