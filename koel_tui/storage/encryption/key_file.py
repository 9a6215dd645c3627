"""The key file, with the wrapped key of the threads; a new passphrase changes only this file."""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from koel_tui.paths import private_directory
from koel_tui.protocol.codec.state_codec import dumps
from koel_tui.storage.encryption.keys import KEY_BYTES, NONCE_BYTES, KeySource, require_packages
from koel_tui.storage.errors import DamagedKeyFileError, StorageError, WrongPassphraseError
from koel_tui.storage.files.file_names import KEY_FILE
from koel_tui.storage.files.safe_open import read_file
from koel_tui.system.atomic_write import write_atomically
from koel_tui.system.file_lock import FileLock

_FORMAT = "koel-chat/keys"
_VERSION = 1

Stage = Literal["sealed", "sealing", "opening"]
"""The state of the directory: encrypted, being encrypted, or being decrypted."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The wrapped key of the threads and its `name`; `source` describes the wrapping key."""

    name: str
    source: dict[str, Any]
    nonce: bytes
    wrapped: bytes
    stage: Stage = "sealed"

    def unwrap(self, source: KeySource) -> bytes:
        """Return the threads' key.

        Raises `WrongPassphraseError`. The cause cannot be a damaged key file, because
        `read_key_file` verifies its checksum. Also raises the errors of `source.find`.
        """
        with require_packages():
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        wrapping_key = source.find(self.source)
        try:
            return AESGCM(wrapping_key).decrypt(
                self.nonce, self.wrapped, _associated_data(self.name, self.source)
            )
        except InvalidTag as error:
            raise WrongPassphraseError(
                "The passphrase or key is not the one these threads are encrypted with. Try again."
            ) from error


def wrap(key: bytes, name: str, source: KeySource) -> WrappedKey:
    """Return `key` wrapped with a new wrapping key of `source`."""
    with require_packages():
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    wrapping_key, description = source.make()
    nonce = secrets.token_bytes(NONCE_BYTES)
    return WrappedKey(
        name,
        description,
        nonce,
        AESGCM(wrapping_key).encrypt(nonce, key, _associated_data(name, description)),
    )


def new_key() -> tuple[bytes, str]:
    """Return a new random key for threads, and its name."""
    return secrets.token_bytes(KEY_BYTES), secrets.token_hex(8)


def read_key_file(directory: Path) -> WrappedKey | None:
    """Return the key of a directory, None if there is no key file.

    Raises `DamagedKeyFileError` if the file is invalid or its checksum is wrong, `StorageError`.
    """
    path = directory / KEY_FILE
    try:
        read = read_file(path)
    except OSError as error:
        raise StorageError(
            f"Cannot read {path}: {error.strerror or error}. Check its permissions."
        ) from error
    if read is None:
        return None
    try:
        wire = json.loads(read[0])
        check = wire.pop("check")
        if check != _checksum(wire) or wire["format"] != _FORMAT or wire["version"] != _VERSION:
            raise ValueError("its checksum is wrong")
        if wire["stage"] not in get_args(Stage):
            raise ValueError("its stage is unknown")
        return WrappedKey(
            name=wire["name"],
            source=dict(wire["source"]),
            nonce=base64.b64decode(wire["nonce"]),
            wrapped=base64.b64decode(wire["wrapped"]),
            stage=wire["stage"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise key_file_error(directory, f"damaged ({error})") from error


def write_key_file(directory: Path, key: WrappedKey) -> None:
    """Write `key` to the key file of a directory. Raises `StorageError`."""
    path = directory / KEY_FILE
    wire = {
        "format": _FORMAT,
        "version": _VERSION,
        "stage": key.stage,
        "name": key.name,
        "source": key.source,
        "nonce": base64.b64encode(key.nonce).decode("ascii"),
        "wrapped": base64.b64encode(key.wrapped).decode("ascii"),
    }
    try:
        write_atomically(path, dumps({**wire, "check": _checksum(wire)}).encode("ascii"))
    except OSError as error:
        raise StorageError(
            f"The key file {path} was not written: {error.strerror or error}. "
            "Nothing has changed; free some space or check the disk."
        ) from error


def change_key(directory: Path | str, old: KeySource, new: KeySource) -> None:
    """Rewrap the key of encrypted threads for another passphrase or the keyring.

    No thread is written. Raises `WrongPassphraseError` and other `StorageError`; the old key source
    remains valid then.
    """
    path = Path(directory)
    with key_lock(path):
        current = read_key_file(path)
        if current is None:
            raise StorageError(f"The threads in {path} are not encrypted.")
        rewrapped = wrap(current.unwrap(old), current.name, new)
        write_key_file(path, replace(rewrapped, stage=current.stage))
    with suppress(StorageError):  # a remaining keyring entry no longer unlocks anything
        old.drop(current.source)


@contextmanager
def key_lock(directory: Path) -> Iterator[None]:
    """Hold the lock for changes of the key file and conversions of the directory.

    Raises `StorageError` if another process holds it for more than 5 seconds.
    """
    locks = private_directory(private_directory(directory) / "locks")
    with FileLock(locks / "keys.lock").hold(timeout_s=5) as result:
        if result.held_elsewhere:
            raise StorageError(
                f"The keys in {directory} are in use by another koel-chat. Wait until it is done."
            )
        if result.error is not None:
            raise result.error
        yield


def key_file_error(directory: Path, state: str) -> DamagedKeyFileError:
    """Return the error for a key file; `state` is "missing" or says how it is damaged."""
    return DamagedKeyFileError(
        f"The key file {directory / KEY_FILE} is {state}. Restore a copy of it; without it no "
        "thread in this directory can be read."
    )


def _checksum(wire: dict[str, Any]) -> str:
    """Return the checksum that distinguishes a damaged file from a wrong passphrase."""
    return hashlib.sha256(dumps(wire).encode("ascii")).hexdigest()


def _associated_data(name: str, source: dict[str, Any]) -> bytes:
    return dumps([_FORMAT, _VERSION, name, source]).encode("ascii")
