"""The key of encrypted threads, requested before the app starts."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.stdio.streams import print_notice
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

_MAX_ATTEMPTS = 3


class Keys:
    """A key source that caches found keys and creates new ones with a separate source."""

    def __init__(self, source: KeySource, new_source: KeySource) -> None:
        self._source = source
        self._new_source = new_source
        self._found: dict[str, bytes] = {}

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Return a new key and the data for finding it again."""
        return self._new_source.make()

    def find(self, key_info: Mapping[str, Any]) -> bytes:
        """Return the key, from the cache if it was found before."""
        name = dumps(dict(key_info))
        if name not in self._found:
            self._found[name] = self._source.find(key_info)
        return self._found[name]

    def drop(self, key_info: Mapping[str, Any]) -> None:
        """Delete a key that is no longer needed from its source."""
        self._source.drop(key_info)


def key_source() -> KeySource:
    """Return the source of the key: KOEL_PASSPHRASE_FILE, the keyring, or a prompt."""
    return AnyKey(_prompt_passphrase if _can_prompt() else None)


def new_key_source(
    *, keyring: bool, file: Path | None = None, ignore_variable: bool = False
) -> KeySource:
    """Return the source of a new key: the keyring, a file with a passphrase, or a prompt.

    `ignore_variable`: ignore the passphrase in KOEL_PASSPHRASE_FILE.
    """
    if keyring:
        return SystemKeyring()
    named = None if ignore_variable else os.environ.get(PASSPHRASE_FILE)
    source = file or (None if named is None else Path(named))

    def passphrase(new: bool) -> str:
        if source is not None:
            return read_passphrase(source)
        if not _can_prompt():
            source_name = "--new-file" if ignore_variable else PASSPHRASE_FILE
            raise NoKeyError(
                "A new passphrase is needed, and there is no terminal to type it. "
                f"Name a file in {source_name}."
            )
        return _prompt_passphrase(new)

    return Passphrase(passphrase)


def unlock(directory: Path) -> Keys:
    """Return the verified key of encrypted threads.

    A mistyped passphrase is requested again. Raises `UsageProblem` if the threads are not
    encrypted, `WrongPassphraseError`, `NoKeyError`, `StorageError`.
    """
    wrapped = read_key_file(directory)
    if wrapped is None:
        raise UsageProblem(f"The threads in {directory} are not encrypted.")
    may_retry = _can_prompt() and PASSPHRASE_FILE not in os.environ
    for attempts_left in reversed(range(_MAX_ATTEMPTS)):
        keys = Keys(key_source(), new_key_source(keyring=False))
        try:
            wrapped.unwrap(keys)
        except WrongPassphraseError as error:
            if not may_retry or not attempts_left or wrapped.source.get("kind") == "keyring":
                raise
            print_notice(f"koel-chat: {error}")
        else:
            return keys
    raise AssertionError  # never reached: the last attempt returns or raises


def _can_prompt() -> bool:
    return sys.stderr.isatty()


def _prompt_passphrase(new: bool) -> str:
    answer: str = click.prompt(
        "New passphrase of your threads" if new else "Passphrase of your threads",
        hide_input=True,
        confirmation_prompt=new,
        err=True,
    )
    return answer
