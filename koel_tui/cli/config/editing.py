"""The command `koel-chat config edit`."""

import os
import signal
import subprocess
from pathlib import Path
from time import monotonic

import click

from koel_tui import paths
from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.stdio.streams import print_notice
from koel_tui.text import safe_text


@click.command()
def edit() -> None:
    """Open config.toml in $VISUAL or $EDITOR, and check it afterwards.

    A new file lists all settings as comments. If the file has an error, the command prints it and
    ends with 78; the file stays as you wrote it.
    """
    from koel_tui.system.editor import modified_time, wait_advice

    file = paths.config_file()
    if not file.exists():
        _create(file)
    begin, written = monotonic(), modified_time(file)
    command = _run_editor(file)
    if modified_time(file) == written and (advice := wait_advice(command, monotonic() - begin)):
        print_notice(safe_text(f"koel-chat: {advice}"))
    _check_settings(file)
    click.echo(safe_text(f"{file} is valid."))


def _create(file: Path) -> None:
    """Write a template of all settings. Raises `DirectoryError` if it cannot be written."""
    from koel_tui.cli.config.toml import config_template
    from koel_tui.system.atomic_write import write_atomically

    paths.private_directory(file.parent)
    try:
        write_atomically(file, config_template().encode())
    except OSError as error:
        raise paths.DirectoryError(
            f"Cannot write {file}: {error.strerror or error}. Check its permissions."
        ) from error


def _run_editor(file: Path) -> list[str]:
    """Run the editor on a file and return its command. Raises `UsageProblem`."""
    from koel_tui.system.editor import EditorError, editor_command, ending

    try:
        command = editor_command(os.environ)
    except EditorError as error:
        raise UsageProblem(f"{error}\nOr open it yourself: {file}") from error
    # Ctrl+c belongs to the editor. A handler instead of SIG_IGN, which the child would inherit.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        arguments = [*command, str(file)]
        code = subprocess.run(arguments, check=False).returncode  # noqa: S603 - the user's editor
    except OSError as error:
        raise UsageProblem(
            f"The editor {command[0]!r} cannot be started: {error.strerror or error}. "
            "Set VISUAL or EDITOR to another one."
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)
    if code:
        raise UsageProblem(f"{Path(command[0]).name!r} {ending(code)}. {file} was not checked.")
    return command


def _check_settings(file: Path) -> None:
    """Validate the settings. Raises `SettingsError`."""
    from koel_tui.settings import SettingsError, load_settings
    from koel_tui.ui.keys.keymap import parse_keymap

    try:
        parse_keymap(load_settings().keys)
    except SettingsError as error:
        raise SettingsError(
            f"{error}\nThe file stays as you wrote it. To correct it: koel-chat config edit"
        ) from None
