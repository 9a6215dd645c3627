"""`koel-chat [THREAD]`: the window."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from koel_tui.cli.exits import Exit, UsageProblem
from koel_tui.cli.options import model_option, window_options

if TYPE_CHECKING:
    from koel_tui.storage.file_storage import FileStorage
    from koel_tui.ui.backend import Backend

KEY_FILE = "keys.json"
"""As the storage names it; to import that would delay every start."""


@click.command()
@click.argument("thread", required=False)
@model_option
@click.option("--max-sessions", type=click.IntRange(1, 256), help="Open contexts at most (8).")
@click.option(
    "--parallel", type=click.IntRange(1, 64), help="Answers written at the same time (1)."
)
@window_options
@click.option("--theme", help="Name of a theme; ctrl+p in the window lists them.")
def chat(thread: str | None, model: Path | None, theme: str | None, **flags: Any) -> int:
    """Open the window; THREAD is the title or id of a saved thread."""
    if model is not None:
        # A model named by hand is checked before the terminal changes in any way.
        from koel_tui.models import check_gguf

        check_gguf(model.expanduser())
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageProblem(
            "the window needs a terminal, and this is none. "
            'For one answer to a file or a pipe use: koel-chat ask "..."'
        )

    storage = _unlocked_storage()

    def connect() -> "Backend":
        from koel_tui.cli.assemble import backend
        from koel_tui.settings import load_settings

        return backend(load_settings(model=model, **flags), storage)

    from koel_tui import paths
    from koel_tui.ui.app import KoelApp

    # Tabs, drafts and history are kept in clear: with encrypted threads they are not kept at all.
    home = paths.state_dir() if storage is None else None
    app = KoelApp(connect, thread=thread, theme=theme, home=home)
    app.run()
    if app.return_code:
        return app.return_code  # the window has said why
    if app.fatal is not None:
        raise app.fatal  # it stayed open without what it needed; the shell learns why
    return Exit.OK


def _unlocked_storage() -> "FileStorage | None":
    """Return encrypted threads, opened while the terminal is still the shell's; None in clear."""
    from koel_tui import paths

    if not (paths.threads_dir() / KEY_FILE).exists():
        return None
    from koel_tui.cli.assemble import open_storage

    return open_storage()
