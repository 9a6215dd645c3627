"""The key of encrypted threads, requested before the app starts."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.protocol.codec.state_codec import dumps
from koel_tui.storage import (
    AnyKey,
    KeySource,
    NoKeyError,
    Passphrase,
    SystemKeyring,
    WrongPassphraseError,
)
from koel_tui.storage.encryption.key_file import read_key_file
from koel_tui.storage.encryption.keys import PASSPHRASE_FILE, read_passphrase

_TRIES = 3


class Keys:
    """A key source that caches found keys and creates new ones with a separate source."""

    def __init__(self, finder: KeySource, maker: KeySource) -> None:
        self._finder = finder
        self._maker = maker
        self._found: dict[str, bytes] = {}

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Return a new key and the data for finding it again."""
        return self._maker.make()

    def find(self, about: Mapping[str, Any]) -> bytes:
        """Return the key, from the cache if it was found before."""
        name = dumps(dict(about))
        if name not in self._found:
            self._found[name] = self._finder.find(about)
        return self._found[name]

    def drop(self, about: Mapping[str, Any]) -> None:
        """Delete a key that is no longer needed from its source."""
        self._finder.drop(about)


def finder() -> KeySource:
    """Return the source of the key: KOEL_PASSPHRASE_FILE, the keyring, or a prompt."""
    return AnyKey(_ask if _somebody_is_there() else None)


def maker(*, keyring: bool, file: Path | None = None, fresh: bool = False) -> KeySource:
    """Return the source of a new key: the keyring, a file with a passphrase, or a prompt.

    `fresh`: ignore the passphrase in KOEL_PASSPHRASE_FILE.
    """
    if keyring:
        return SystemKeyring()
    named = None if fresh else os.environ.get(PASSPHRASE_FILE)
    source = file or (None if named is None else Path(named))

    def passphrase(new: bool) -> str:
        if source is not None:
            return read_passphrase(source)
        if not _somebody_is_there():
            how = "--new-file" if fresh else PASSPHRASE_FILE
            raise NoKeyError(
                f"A new passphrase is needed, and nobody can be asked. Name a file in {how}."
            )
        return _ask(new)

    return Passphrase(passphrase)


def unlocked(directory: Path) -> Keys:
    """Return the verified key of encrypted threads.

    A mistyped passphrase is requested again. Raises `UsageProblem` if the threads are not
    encrypted, `WrongPassphraseError`, `NoKeyError`, `StorageError`.
    """
    wrapped = read_key_file(directory)
    if wrapped is None:
        raise UsageProblem(f"The threads in {directory} are not encrypted.")
    asks = _somebody_is_there() and PASSPHRASE_FILE not in os.environ
    for left in reversed(range(_TRIES)):
        keys = Keys(finder(), maker(keyring=False))
        try:
            wrapped.unwrap(keys)
        except WrongPassphraseError as error:
            if not asks or not left or wrapped.source.get("kind") == "keyring":
                raise
            click.echo(f"koel-chat: {error}", err=True)
        else:
            return keys
    raise AssertionError


def _somebody_is_there() -> bool:
    return sys.stderr.isatty()


def _ask(new: bool) -> str:
    answer: str = click.prompt(
        "New passphrase of your threads" if new else "Passphrase of your threads",
        hide_input=True,
        confirmation_prompt=new,
        err=True,
    )
    return answer
