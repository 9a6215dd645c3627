"""The command `koel-chat [THREAD]`, which starts the app or the plain mode."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from koel_tui import paths
from koel_tui.cli import debugging
from koel_tui.cli.early_settings import StartSettings, is_encrypted, load_start_settings
from koel_tui.cli.exit_codes import Exit, UsageProblem
from koel_tui.cli.options import global_options
from koel_tui.cli.thread_completion import complete_thread
from koel_tui.cli.window_requirements import why_window_impossible
from koel_tui.logs import LogFile
from koel_tui.text import repair

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from koel_tui.conversation.backend import Backend
    from koel_tui.storage.files.file_storage import FileStorage


@click.command()
@click.argument("thread", required=False, shell_complete=complete_thread)
@global_options
def chat(
    thread: str | None,
    model: Path | None,
    theme: str | None,
    plain: bool,
    low_bandwidth: bool,
    **other_flags: Any,
) -> int:
    """Open the window, with a saved thread if you name one.

    THREAD is a title, an id or the beginning of an id. Without it, the tabs of the last run are
    restored. The plain mode starts by itself in a terminal smaller than 60 columns by 15 rows,
    with TERM=dumb, and in a locale whose encoding lacks the characters of the window.

    Options apply to this run only. `koel-chat config edit` changes the settings.

    \b
    Examples:
      koel-chat chat "Name of a thread"
      koel-chat chat --model ~/models/qwen.gguf --context-tokens 16384
      koel-chat chat --theme nord --low-bandwidth
    """
    thread = thread and repair(thread)  # as titles are saved
    if model is not None:
        # Checked before the window opens, so that the error is printed like that of any command.
        from koel_tui.cli.models.resolve import check_model

        model = check_model(model)
    logging.getLogger().addHandler(LogFile(paths.log_file()))
    _check_terminal("plain mode" if plain else "the window")
    start = load_start_settings(theme, plain, low_bandwidth)
    storage = _unlock_storage()

    def connect() -> "Backend":
        from koel_tui.cli.wiring import create_backend
        from koel_tui.settings import load_settings

        return create_backend(load_settings(model=model, **other_flags), storage)

    # Tabs, drafts and history are unencrypted, so they are not persisted with encrypted threads.
    state_directory = paths.state_dir() if storage is None else None
    if _is_plain(start):
        code, error = _run_plain_mode(connect, thread, state_directory)
    else:
        # These flags can only switch on. False means that the user did not give them.
        switches = {"plain": plain or None, "low_bandwidth": low_bandwidth or None}
        flags = {"model": model, "theme": theme, **switches, **other_flags}
        code, error = _run_window(connect, thread, state_directory, start, flags)
    return _exit_code(code, error)


def _exit_code(code: int, error: BaseException | None) -> int:
    """Return the exit code of the app, or raise its error if the code is 0."""
    if code:
        if error is not None and debugging.is_debug_requested():
            debugging.show_traceback(error)
        return code
    if error is not None:
        raise error  # the app stayed open without a model; report the error to the shell
    return Exit.OK


def _check_terminal(user_interface: str) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageProblem(
            f"{user_interface} needs a terminal, and input or output is not one. "
            'To write one answer to a file or a pipe: koel-chat ask "..."'
        )


def _is_plain(start: StartSettings) -> bool:
    """Return whether to use the plain mode; print the reason if the user did not request it."""
    if start.plain:
        return True
    reason = why_window_impossible(
        *os.get_terminal_size(),
        os.environ.get("TERM"),
        stderr_is_terminal=sys.stderr.isatty(),
        encoding=sys.stderr.encoding,
    )
    if reason:
        click.echo(f"{reason}, so the plain mode starts.")
    return bool(reason)


def _run_window(
    connect: "Callable[[], Backend]",
    thread: str | None,
    state_directory: Path | None,
    start: StartSettings,
    flags: "Mapping[str, object]",
) -> tuple[int, BaseException | None]:
    if start.low_bandwidth:
        os.environ.setdefault("TEXTUAL_FPS", "10")  # Textual reads it on import
    from koel_tui.system.forced_exit import ForcedExit
    from koel_tui.system.memory_tuning import limit_malloc_arenas
    from koel_tui.ui.app.app import KoelApp
    from koel_tui.ui.keys.keymap import parse_keymap

    limit_malloc_arenas()
    app = KoelApp(
        connect,
        thread=thread,
        theme=start.theme,
        home=state_directory,
        low_bandwidth=start.low_bandwidth,
        notify=start.notify,
        line_length=start.line_length,
        keymap=parse_keymap(start.keys),
        themes=paths.themes_dir(),
        flags=flags,
        forced_exit=ForcedExit(window=True),
    )
    app.run()
    return app.return_code or 0, app.fatal_error


def _run_plain_mode(
    connect: "Callable[[], Backend]", thread: str | None, state_directory: Path | None
) -> tuple[int, BaseException | None]:
    import asyncio

    from koel_tui.conversation.placeholders import PastePlaceholders
    from koel_tui.plain.chat import PlainChat
    from koel_tui.plain.terminal import TerminalConsole
    from koel_tui.system.forced_exit import ForcedExit

    pastes = PastePlaceholders()
    console = TerminalConsole(pastes, os.environ)
    plain_chat = PlainChat(
        connect,
        console,
        pastes=pastes,
        thread=thread,
        home=state_directory,
        forced_exit=ForcedExit(paste_markers=console.has_paste_markers),
    )
    try:
        code = asyncio.run(plain_chat.run())
    finally:
        console.close()
    return code, plain_chat.fatal_error


def _unlock_storage() -> "FileStorage | None":
    """Return the unlocked storage of encrypted threads, or None if they are not encrypted.

    Called before the app takes over the terminal, because it may prompt for the passphrase.
    """
    if not is_encrypted():
        return None
    from koel_tui.cli.wiring import open_storage

    return open_storage()
