"""Where the key comes from that the threads' key is wrapped with: a passphrase, or the keyring."""

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

Ask = Callable[[bool], str]
"""Asks the user for the passphrase, or, when it is given True, for a new one."""

KEY_BYTES = 32
"""The length of a key of AES-256."""

NONCE_BYTES = 12
"""The length of a nonce that GCM is made for (NIST SP 800-38D, 5.2.1.1)."""

_LONGEST_PASSPHRASE = 1024 * 1024  # bytes
PASSPHRASE_FILE = "KOEL_PASSPHRASE_FILE"  # noqa: S105 - a name
"""The variable that names a file with the passphrase, for where nobody can be asked."""

T = TypeVar("T")

# Less is easier to guess than OWASP's advice on storing passwords allows; more is an attack.
_MEMORY = range(19 * 1024, 1024 * 1024 + 1)  # KiB
_PASSES = range(2, 17)
_LANES = range(1, 17)
_SALT_BYTES = 16
_SERVICE = "koel-chat"
_BRING = "Bring back a good copy of it."


class KeySource(Protocol):
    """Something that keeps a wrapping key, and says in JSON how to find it again."""

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Return a new wrapping key, and what `find` needs to know."""
        ...

    def find(self, about: Mapping[str, Any]) -> bytes:
        """Return the wrapping key that `about` is about; it may be a wrong one.

        Raises `NoKeyError`, `DamagedKeyFileError`.
        """
        ...

    def drop(self, about: Mapping[str, Any]) -> None:
        """Forget a wrapping key that is no longer needed."""
        ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What it costs to try one passphrase, in the terms of Argon2id; `memory` is in KiB.

    What it is unless given is what RFC 9106 (4.) advises where memory is scarce.
    """

    memory: int = 64 * 1024
    passes: int = 3
    lanes: int = 4


_COST = Cost()


class Passphrase:
    """A key made from a passphrase with Argon2id.

    `ask` is called in a worker thread and returns the passphrase; given True, a new one. Its
    methods raise what it raises, `NoKeyError` for an empty one and without the packages.
    """

    def __init__(self, ask: Ask, cost: Cost = _COST) -> None:
        self._ask = ask
        self._cost = cost

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Return a key from a new passphrase, and the salt and cost it was made with."""
        about = {
            "kind": "passphrase",
            "kdf": "argon2id",
            "memory": self._cost.memory,
            "passes": self._cost.passes,
            "lanes": self._cost.lanes,
            "salt": base64.b64encode(secrets.token_bytes(_SALT_BYTES)).decode("ascii"),
        }
        return _derive(self._ask(True), about), about

    def find(self, about: Mapping[str, Any]) -> bytes:
        """Return the key that the passphrase gives; nothing says here whether it is the right one.

        Raises `DamagedKeyFileError` for a cost that is no protection, or more than can be paid.
        """
        _expect(about, "passphrase", "a passphrase")
        return _derive(self._ask(False), about)

    def drop(self, about: Mapping[str, Any]) -> None:
        """Do nothing: a passphrase is kept nowhere."""


class Keyring(Protocol):
    """What is used of the package `keyring`, or of one of its backends."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """Return a secret, None when there is none."""
        ...

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keep a secret."""
        ...

    def delete_password(self, service: str, username: str, /) -> None:
        """Forget a secret."""
        ...


class SystemKeyring:
    """A random key kept in the keyring of the system: macOS Keychain, Secret Service, and such.

    `keyring` is a backend of the package of that name; unless given, the one it finds.
    """

    def __init__(self, keyring: Keyring | None = None) -> None:
        self._keyring = keyring

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Put a new key into the keyring; return it and the name of its entry."""
        key, entry = secrets.token_bytes(KEY_BYTES), secrets.token_hex(8)
        secret = base64.b64encode(key).decode("ascii")
        self._use(lambda keyring: keyring.set_password(_SERVICE, entry, secret))
        return key, {"kind": "keyring", "entry": entry}

    def find(self, about: Mapping[str, Any]) -> bytes:
        """Return the key of an entry. Raises `NoKeyError` when the keyring does not give it."""
        _expect(about, "keyring", "a key in the system's keyring")
        entry = str(about.get("entry"))
        secret = self._use(lambda keyring: keyring.get_password(_SERVICE, entry))
        try:
            key = base64.b64decode(secret or "", validate=True)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise NoKeyError(
                f"The system's keyring has no key {entry!r} of {_SERVICE}. "
                "Unlock the keyring these threads were encrypted with, or bring it back."
            )
        return key

    def drop(self, about: Mapping[str, Any]) -> None:
        """Remove an entry from the keyring."""
        entry = str(about.get("entry"))
        self._use(lambda keyring: keyring.delete_password(_SERVICE, entry))

    def _use(self, deed: Callable[[Keyring], T]) -> T:
        keyring = self._keyring
        if keyring is None:
            with needing_packages():
                import keyring as system  # an optional package, and slow to import

                keyring = system
        try:
            return deed(keyring)
        except Exception as error:  # every backend has errors of its own
            raise NoKeyError(
                f"The system's keyring cannot be used: {error or type(error).__name__}. "
                f"Name a file with a passphrase in {PASSPHRASE_FILE}, or unlock the keyring."
            ) from error


class AnyKey:
    """The key that is to be had: what the threads were encrypted with, without asking which.

    A passphrase comes from the file named in `KOEL_PASSPHRASE_FILE`, else from `ask`. For new
    threads that passphrase file is taken first, then the keyring, then a passphrase.
    """

    def __init__(
        self,
        ask: Ask | None = None,
        *,
        keyring: Keyring | None = None,
        environment: Mapping[str, str] = os.environ,
        cost: Cost = _COST,
    ) -> None:
        self._file = environment.get(PASSPHRASE_FILE)
        self._asked = ask
        self._passphrase = Passphrase(self._ask, cost)
        self._keyring = SystemKeyring(keyring)

    def make(self) -> tuple[bytes, dict[str, Any]]:
        """Return a new key and what is needed to find it again. Raises `NoKeyError`."""
        if self._file is not None:
            return self._passphrase.make()
        try:
            return self._keyring.make()
        except NoKeyError:
            if self._asked is None:
                raise
            return self._passphrase.make()

    def find(self, about: Mapping[str, Any]) -> bytes:
        """Return the key. Raises `NoKeyError`, `DamagedKeyFileError`."""
        return self._source(about).find(about)

    def drop(self, about: Mapping[str, Any]) -> None:
        """Forget a key that is no longer needed."""
        self._source(about).drop(about)

    def _source(self, about: Mapping[str, Any]) -> KeySource:
        return self._keyring if about.get("kind") == "keyring" else self._passphrase

    def _ask(self, new: bool) -> str:
        if self._file is not None:
            return read_passphrase(Path(self._file))
        if self._asked is None:
            raise NoKeyError(
                "The passphrase of the encrypted threads is needed, and nobody can be asked. "
                f"Name a file that holds it in {PASSPHRASE_FILE}."
            )
        return self._asked(new)


@contextmanager
def needing_packages() -> Iterator[None]:
    """Say what to install when an import in the block finds no package."""
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
        with path.open("rb") as file:  # a pipe, too: what a password manager prints
            data = file.read(_LONGEST_PASSPHRASE + 1)
        if len(data) > _LONGEST_PASSPHRASE:
            raise ValueError(f"it has more than {_LONGEST_PASSPHRASE:,} bytes")
        return data.decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise NoKeyError(
            f"The passphrase file {path} cannot be read ({error}). Mend {PASSPHRASE_FILE}."
        ) from error


def _derive(passphrase: str, about: Mapping[str, Any]) -> bytes:
    if not passphrase:
        raise NoKeyError("An empty passphrase protects nothing. Give one with words in it.")
    try:
        salt = base64.b64decode(about["salt"], validate=True)
        cost = Cost(*(int(about[name]) for name in ("memory", "passes", "lanes")))
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedKeyFileError(f"The key file says too little ({error!r}). {_BRING}") from error
    allowed = cost.memory in _MEMORY and cost.passes in _PASSES and cost.lanes in _LANES
    if about.get("kdf") != "argon2id" or not allowed or len(salt) < _SALT_BYTES:
        raise DamagedKeyFileError(
            "The key file asks for a way from the passphrase to the key that is not allowed "
            f"({about.get('kdf')}, {cost}). {_BRING}"
        )
    with needing_packages():
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    # Composed, so that the same letters typed on another system are the same passphrase.
    words = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    kdf = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory,
    )
    return kdf.derive(words)


def _expect(about: Mapping[str, Any], kind: str, words: str) -> None:
    if about.get("kind") != kind:
        raise NoKeyError(f"These threads are not encrypted with {words}. Open them another way.")
