"""The commands `koel-chat threads encrypt`, `decrypt` and `passphrase`."""

from pathlib import Path

import click

from koel_tui.cli.exit_codes import UsageProblem

_KEYRING = click.option(
    "--keyring",
    is_flag=True,
    help="Keep the key in the keyring of the system, without a passphrase.",
)


@click.command()
@_KEYRING
def encrypt(keyring: bool) -> None:
    """Encrypt all saved threads, and those saved later.

    The command asks for the passphrase, or reads it from the file named in KOEL_PASSPHRASE_FILE. If
    it was interrupted, start it again and it continues.
    """
    from koel_tui.cli.unlock import Keys, key_source, new_key_source
    from koel_tui.cli.wiring import remove_unencrypted_data, threads_directory
    from koel_tui.storage import encrypt_threads

    _check_no_recovery_files()
    directory = threads_directory()
    count = encrypt_threads(directory, Keys(key_source(), new_key_source(keyring=keyring)))
    remove_unencrypted_data(directory)
    click.echo(f"The threads are encrypted ({count} files). Without the key they cannot be read.")


@click.command()
def decrypt() -> None:
    """Remove the encryption from all saved threads.

    The command asks for the passphrase, or reads it from the file named in KOEL_PASSPHRASE_FILE.
    """
    from koel_tui.cli.unlock import unlock
    from koel_tui.cli.wiring import threads_directory
    from koel_tui.storage import decrypt_threads

    _check_no_recovery_files()
    directory = threads_directory()
    count = decrypt_threads(directory, unlock(directory))
    click.echo(f"The threads are decrypted ({count} files).")


@click.command()
@_KEYRING
@click.option(
    "--new-file",
    type=click.Path(path_type=Path),
    help="File with the new passphrase (default: the command asks for it).",
)
def passphrase(keyring: bool, new_file: Path | None) -> None:
    """Change the passphrase of encrypted threads.

    Only the file with the key is written again.
    """
    from koel_tui.cli.unlock import new_key_source, unlock
    from koel_tui.cli.wiring import threads_directory
    from koel_tui.storage import change_key

    if keyring and new_file is not None:
        raise UsageProblem("use --keyring or --new-file, not both.")
    directory = threads_directory()
    change_key(
        directory,
        unlock(directory),
        new_key_source(keyring=keyring, file=new_file, ignore_variable=True),
    )
    click.echo("The key is changed. The old one no longer opens the threads.")


def _check_no_recovery_files() -> None:
    """Raise `UsageProblem` if there are recovery files, because they would not be converted."""
    from koel_tui.paths import recovery_dirs
    from koel_tui.storage.recovery_files import find_recovery_files

    if files := find_recovery_files(recovery_dirs()):
        raise UsageProblem(
            f"{files[0]} has text that is not saved yet. Restore it first: start koel-chat, "
            "or run koel-chat threads import and remove the file."
        )
