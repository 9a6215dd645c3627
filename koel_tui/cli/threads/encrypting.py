"""The commands `koel-chat threads encrypt`, `decrypt` and `passphrase`."""

from pathlib import Path

import click

from koel_tui.cli.exit_codes import UsageProblem

_KEYRING = click.option(
    "--keyring", is_flag=True, help="Keep the key in the system's keyring; no passphrase."
)


@click.command()
@_KEYRING
def encrypt(keyring: bool) -> None:
    """Encrypt all saved threads, and every one saved from then on.

    The passphrase is asked for, or read from the file named in KOEL_PASSPHRASE_FILE. Interrupted,
    it goes on when it is started again.
    """
    from koel_tui.cli.unlock import Keys, key_source, new_key_source
    from koel_tui.cli.wiring import remove_unencrypted_data, threads_directory
    from koel_tui.storage import encrypt_threads

    _check_no_recovery_files()
    directory = threads_directory()
    count = encrypt_threads(directory, Keys(key_source(), new_key_source(keyring=keyring)))
    remove_unencrypted_data(directory)
    click.echo(f"The threads are encrypted ({count} files). Without the key nobody can read them.")


@click.command()
def decrypt() -> None:
    """Write all saved threads in clear again.

    The passphrase is asked for, or read from the file named in KOEL_PASSPHRASE_FILE.
    """
    from koel_tui.cli.unlock import unlock
    from koel_tui.cli.wiring import threads_directory
    from koel_tui.storage import decrypt_threads

    _check_no_recovery_files()
    directory = threads_directory()
    count = decrypt_threads(directory, unlock(directory))
    click.echo(f"The threads are in clear ({count} files).")


@click.command()
@_KEYRING
@click.option(
    "--new-file",
    type=click.Path(path_type=Path),
    help="File with the new passphrase (default: it is asked for).",
)
def passphrase(keyring: bool, new_file: Path | None) -> None:
    """Change the passphrase of encrypted threads.

    No thread is written anew: only the key to them.
    """
    from koel_tui.cli.unlock import new_key_source, unlock
    from koel_tui.cli.wiring import threads_directory
    from koel_tui.storage import change_key

    if keyring and new_file is not None:
        raise UsageProblem("Either --keyring or --new-file: there is one key.")
    directory = threads_directory()
    change_key(
        directory,
        unlock(directory),
        new_key_source(keyring=keyring, file=new_file, ignore_variable=True),
    )
    click.echo("The threads open with the new key from now on, and no longer with the old one.")


def _check_no_recovery_files() -> None:
    """Raise `UsageProblem` if there are recovery files, because they would not be converted."""
    from koel_tui.paths import recovery_dirs
    from koel_tui.storage.recovery_files import find_recovery_files

    if files := find_recovery_files(recovery_dirs()):
        raise UsageProblem(
            f"{files[0]} holds text that could not be saved yet. Bring it back first: start "
            "koel-chat once, or use koel-chat threads import and then remove the file."
        )
