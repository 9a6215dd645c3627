"""Sources of the wrapping key: a passphrase or the system keyring."""

import base64
import os
import secrets
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from koel_tui.storage.errors import DamagedKeyFileError, NoKeyError

AskPassphrase = Callable[[bool], str]
"""Callback that returns the user's passphrase; called with True for a new one."""

KEY_BYTES = 32
"""The length of an AES-256 key in bytes."""

NONCE_BYTES = 12
"""The recommended length of a GCM nonce in bytes (NIST SP 800-38D, 5.2.1.1)."""

_MAX_PASSPHRASE_BYTES = 1024 * 1024
PASSPHRASE_FILE = "KOEL_PASSPHRASE_FILE"  # noqa: S105 - a name
"""The environment variable with the path of a passphrase file, for use without a user."""

T = TypeVar("T")

# Lower costs are weaker than OWASP's advice on password storage; higher ones indicate an attack.
_ALLOWED_MEMORY = range(19 * 1024, 1024 * 1024 + 1)  # KiB
_ALLOWED_PASSES = range(2, 17)
_ALLOWED_LANES = range(1, 17)
_SALT_BYTES = 16
_SERVICE = "koel-chat"
_RESTORE_HINT = "Restore a good copy of it."


class KeySource(Protocol):
    """A source of wrapping keys, which describes each in JSON in order to find it again."""

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Return a new wrapping key and its description for `find`."""
        ...

    def find(self, key_info: Mapping[str, Any]) -> bytes:
        """Return the wrapping key described by `key_info`.

        It is not verified: a wrong passphrase gives a wrong key.

        Raises `NoKeyError`, `DamagedKeyFileError`.
        """
        ...

    def drop(self, key_info: Mapping[str, Any]) -> None:
        """Delete a wrapping key that is no longer needed."""
        ...


@dataclass(frozen=True, slots=True)
class Cost:
    """The Argon2id cost of one passphrase attempt; `memory` is in KiB.

    The defaults are the recommendation of RFC 9106, section 4, for memory-constrained systems.
    """

    memory: int = 64 * 1024
    passes: int = 3
    lanes: int = 4


_COST = Cost()


class Passphrase:
    """The source of keys derived from a passphrase with Argon2id.

    `ask` is called in a worker thread. Methods raise the errors of `ask`, and `NoKeyError` for an
    empty passphrase or if the packages are not installed.
    """

    def __init__(self, ask: AskPassphrase, cost: Cost = _COST) -> None:
        self._ask = ask
        self._cost = cost

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Return a key derived from a new passphrase, and its salt and cost."""
        key_info = {
            "kind": "passphrase",
            "kdf": "argon2id",
            "memory": self._cost.memory,
            "passes": self._cost.passes,
            "lanes": self._cost.lanes,
            "salt": base64.b64encode(secrets.token_bytes(_SALT_BYTES)).decode("ascii"),
        }
        return _derive_key(self._ask(True), key_info), key_info

    def find(self, key_info: Mapping[str, Any]) -> bytes:
        """Return the key derived from the passphrase, which is not verified.

        Raises `DamagedKeyFileError` for a cost that is too low or too high.
        """
        _check_kind(key_info, "passphrase", "a passphrase")
        return _derive_key(self._ask(False), key_info)

    def drop(self, key_info: Mapping[str, Any]) -> None:
        """Do nothing, because passphrases are not stored."""


class Keyring(Protocol):
    """The functions of the package `keyring`, or of a backend, that are used here."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """Return a secret, None if there is none."""
        ...

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Store a secret."""
        ...

    def delete_password(self, service: str, username: str, /) -> None:
        """Delete a secret."""
        ...


class SystemKeyring:
    """The source of random keys in the system keyring: macOS Keychain, Secret Service, and others.

    `keyring` is a backend of the package of that name; by default, the package selects one.
    """

    def __init__(self, keyring: Keyring | None = None) -> None:
        self._keyring = keyring

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Store a new key in the keyring; return it and the name of its entry."""
        key, entry = secrets.token_bytes(KEY_BYTES), secrets.token_hex(8)
        secret = base64.b64encode(key).decode("ascii")
        self._call_keyring(lambda keyring: keyring.set_password(_SERVICE, entry, secret))
        return key, {"kind": "keyring", "entry": entry}

    def find(self, key_info: Mapping[str, Any]) -> bytes:
        """Return the key of an entry. Raises `NoKeyError` if the keyring does not return it."""
        _check_kind(key_info, "keyring", "a key in the system's keyring")
        entry = str(key_info.get("entry"))
        secret = self._call_keyring(lambda keyring: keyring.get_password(_SERVICE, entry))
        try:
            key = base64.b64decode(secret or "", validate=True)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise NoKeyError(
                f"The system's keyring has no key {entry!r} of {_SERVICE}. "
                "Unlock or restore the keyring that these threads were encrypted with."
            )
        return key

    def drop(self, key_info: Mapping[str, Any]) -> None:
        """Delete an entry from the keyring."""
        entry = str(key_info.get("entry"))
        self._call_keyring(lambda keyring: keyring.delete_password(_SERVICE, entry))

    def _call_keyring(self, action: Callable[[Keyring], T]) -> T:
        keyring = self._keyring
        if keyring is None:
            with require_packages():
                import keyring as keyring_package  # optional, and slow to import

                keyring = keyring_package
        try:
            return action(keyring)
        except Exception as error:  # each backend raises different errors
            raise NoKeyError(
                f"The system's keyring cannot be used: {error or type(error).__name__}. "
                f"Unlock it, or name a file with a passphrase in {PASSPHRASE_FILE}."
            ) from error


class AnyKey:
    """A source that uses the kind of key with which the threads were encrypted.

    A passphrase comes from the file named in `KOEL_PASSPHRASE_FILE`, otherwise from `ask`. A new
    key comes from that file, else from the keyring, else from a passphrase of `ask`.
    """

    def __init__(
        self,
        ask: AskPassphrase | None = None,
        *,
        keyring: Keyring | None = None,
        environment: Mapping[str, str] = os.environ,
        cost: Cost = _COST,
    ) -> None:
        self._passphrase_file = environment.get(PASSPHRASE_FILE)
        self._ask_user = ask
        self._passphrase = Passphrase(self._ask, cost)
        self._keyring = SystemKeyring(keyring)

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Return a new key and its description for `find`. Raises `NoKeyError`."""
        if self._passphrase_file is not None:
            return self._passphrase.make()
        try:
            return self._keyring.make()
        except NoKeyError:
            if self._ask_user is None:
                raise
            return self._passphrase.make()

    def find(self, key_info: Mapping[str, Any]) -> bytes:
        """Return the key. Raises `NoKeyError`, `DamagedKeyFileError`."""
        return self._source(key_info).find(key_info)

    def drop(self, key_info: Mapping[str, Any]) -> None:
        """Delete a key that is no longer needed."""
        self._source(key_info).drop(key_info)

    def _source(self, key_info: Mapping[str, Any]) -> KeySource:
        return self._keyring if key_info.get("kind") == "keyring" else self._passphrase

    def _ask(self, new: bool) -> str:
        if self._passphrase_file is not None:
            return read_passphrase(Path(self._passphrase_file))
        if self._ask_user is None:
            raise NoKeyError(
                "The encrypted threads need a passphrase, which cannot be entered here. "
                f"Name a file with the passphrase in {PASSPHRASE_FILE}."
            )
        return self._ask_user(new)


@contextmanager
def require_packages() -> Iterator[None]:
    """Convert an ImportError in the block to a `NoKeyError` that names the package to install."""
    try:
        yield
    except ImportError as error:
        raise NoKeyError(
            f"Encrypted threads need the package {error.name or 'cryptography'}. "
            'Install it with: pip install "koel-tui[encrypt]"'
        ) from error


def read_passphrase(path: Path) -> str:
    """Return the passphrase in a file. Raises `NoKeyError`."""
    try:
        with path.open("rb") as file:  # may be a pipe from a password manager
            data = file.read(_MAX_PASSPHRASE_BYTES + 1)
        if len(data) > _MAX_PASSPHRASE_BYTES:
            raise ValueError(f"it has more than {_MAX_PASSPHRASE_BYTES:,} bytes")
        return data.decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise NoKeyError(
            f"The passphrase file {path} cannot be read ({error}). Correct {PASSPHRASE_FILE}."
        ) from error


def _derive_key(passphrase: str, key_info: Mapping[str, Any]) -> bytes:
    if not passphrase:
        raise NoKeyError("The passphrase is empty. Enter another one.")
    try:
        salt = base64.b64decode(key_info["salt"], validate=True)
        cost = Cost(*(int(key_info[name]) for name in ("memory", "passes", "lanes")))
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedKeyFileError(
            f"The key file is incomplete ({error!r}). {_RESTORE_HINT}"
        ) from error
    allowed = (
        cost.memory in _ALLOWED_MEMORY
        and cost.passes in _ALLOWED_PASSES
        and cost.lanes in _ALLOWED_LANES
    )
    if key_info.get("kdf") != "argon2id" or not allowed or len(salt) < _SALT_BYTES:
        raise DamagedKeyFileError(
            "The key file has a key derivation that is not allowed "
            f"({key_info.get('kdf')}, {cost}). {_RESTORE_HINT}"
        )
    with require_packages():
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    # NFC, so that the same letters give the same passphrase on every system.
    encoded = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    kdf = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory,
    )
    return kdf.derive(encoded)


def _check_kind(key_info: Mapping[str, Any], kind: str, description: str) -> None:
    if key_info.get("kind") != kind:
        raise NoKeyError(
            f"These threads are not encrypted with {description}. Open them with the right key."
        )
