"""The codec of thread files encrypted with AES-256-GCM, in a directory with a key file."""

import base64
import binascii
import hmac
import json
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from koel_tui.protocol.codec.state_codec import dumps
from koel_tui.storage.encryption.key_file import (
    WrappedKey,
    key_file_error,
    key_lock,
    new_key,
    read_key_file,
    wrap,
    write_key_file,
)
from koel_tui.storage.encryption.keys import NONCE_BYTES, KeySource, require_packages
from koel_tui.storage.errors import (
    EncryptedThreadsError,
    NotAThreadError,
    StorageError,
)
from koel_tui.storage.files.file_codec import UnencryptedCodec
from koel_tui.storage.files.file_names import (
    ENCRYPTED_SUFFIX,
    KEY_FILE,
    RECOVERY_STEM,
    is_thread_file,
)
from koel_tui.storage.files.quarantine import Signature, file_signature
from koel_tui.storage.thread_head import HEAD_BYTES, Head, find_head, parse_head
from koel_tui.system.atomic_write import Bytes

FORMAT = "koel-chat/sealed"
_VERSION = 1
_TAG_BYTES = 16
_HEAD_STEP = 256  # bytes; the size of a head must not tell that of a title


class FileEncryptor:
    """Encrypts and names files with one key.

    The stem, a keyed hash of the thread's id, is authenticated with the content, so a file cannot
    be swapped for another thread's. The id itself is known only after decryption, and must not be
    visible outside. The head of a thread is encrypted a second time in the line of parameters, so
    that a list need not decrypt whole files; version 0.1 ignores it.
    """

    suffix = ENCRYPTED_SUFFIX

    def __init__(self, key: bytes, name: str) -> None:
        with require_packages():
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        self._name = name
        self._stem_key = hmac.digest(key, b"koel-chat names", "sha256")
        self._thread_key = hmac.digest(key, b"koel-chat threads", "sha256")
        self._cipher = AESGCM(self._thread_key)
        self._associated_start = dumps([FORMAT, _VERSION, name])[:-1]

    def stem(self, thread_id: str) -> str:
        """Return the stem of a thread: a keyed hash, which cannot be guessed without the key."""
        encoded_id = thread_id.encode("utf-8", "surrogatepass")
        return f"t-{hmac.digest(self._stem_key, encoded_id, 'sha256').hex()[:32]}"

    def encode(self, stem: str, text: bytes) -> bytes:
        """Return `text` encrypted for `stem`: a JSON line of parameters, then the ciphertext."""
        return b"".join(self.encode_parts(stem, text))

    def encode_parts(self, stem: str, *text: Bytes) -> tuple[Bytes, ...]:
        """Return the parts of what `encode` returns for the parts of a text."""
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.ciphers.modes import GCM

        nonce = secrets.token_bytes(NONCE_BYTES)
        header: dict[str, Any] = {
            "format": FORMAT,
            "version": _VERSION,
            "key": self._name,
            "nonce": base64.b64encode(nonce).decode("ascii"),
        }
        head = find_head(bytes(text[0][:HEAD_BYTES])) if text else None
        if head is not None:
            header["head"] = self._encrypt_head(stem, head, header["nonce"])
        # As `AESGCM.encrypt`, which needs the text in one part: a copy of a large thread.
        encryptor = Cipher(AES(self._thread_key), GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(self._associated_data(stem))
        ciphertext = [encryptor.update(part) for part in text]
        encryptor.finalize()
        return dumps(header).encode("ascii") + b"\n", *ciphertext, encryptor.tag

    def decode(self, stem: str, data: bytes) -> bytes:
        """Return the text. Raises `NotAThreadError` if `data` is not from `encode` for `stem`."""
        from cryptography.exceptions import InvalidTag

        try:
            header, ciphertext = self._split(data)
            nonce = base64.b64decode(header["nonce"], validate=True)
            return self._cipher.decrypt(nonce, ciphertext, self._associated_data(stem))
        except InvalidTag as error:
            raise NotAThreadError("its encrypted content was changed") from error
        except NotAThreadError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NotAThreadError(f"it is not encrypted: {error}") from error

    def read_head(self, stem: str, start: bytes, size: int) -> Head | None:
        """Return the head of the thread in a file, None if the whole file must be read."""
        from cryptography.exceptions import InvalidTag

        try:
            header, ciphertext = self._split(start)
            encrypted = binascii.a2b_base64(header["head"])
            associated = self._associated_data(stem, "head", header["nonce"])
            padded = self._cipher.decrypt(
                encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], associated
            )
        except (InvalidTag, NotAThreadError, ValueError, KeyError, TypeError, RecursionError):
            return None
        head = padded.rstrip(b" ")
        return parse_head(head, size - (len(start) - len(ciphertext)) - _TAG_BYTES)

    def _encrypt_head(self, stem: str, head: bytes, nonce: str) -> str:
        """Return the head encrypted for the content with `nonce`; its size is rounded up."""
        own_nonce = secrets.token_bytes(NONCE_BYTES)
        padded = head.ljust(-(-len(head) // _HEAD_STEP) * _HEAD_STEP)
        associated = self._associated_data(stem, "head", nonce)
        encrypted = own_nonce + self._cipher.encrypt(own_nonce, padded, associated)
        return base64.b64encode(encrypted).decode("ascii")

    def _split(self, data: bytes) -> tuple[Any, memoryview]:
        """Return the parameters and the ciphertext. Raises `NotAThreadError` and others."""
        end = data.index(b"\n")
        header = json.loads(data[:end])
        if header["format"] != FORMAT or header["version"] != _VERSION:
            raise NotAThreadError(f"it is not in the format {FORMAT}")
        if header["key"] != self._name:
            raise NotAThreadError("it is encrypted with another key")
        return header, memoryview(data)[end + 1 :]

    def _associated_data(self, stem: str, *more: str) -> bytes:
        rest = "".join(f',"{each}"' for each in (stem, *more))
        return f"{self._associated_start}{rest}]".encode("ascii")


@dataclass(frozen=True, slots=True)
class _Unlocked:
    signature: Signature | None
    name: str
    encryptor: FileEncryptor


class EncryptedCodec:
    """The codec of files encrypted with their directory's key, which is loaded lazily."""

    suffix = ENCRYPTED_SUFFIX

    def __init__(self, directory: Path, source: KeySource) -> None:
        self._directory = directory
        self._source = source
        self._unlock_lock = threading.Lock()
        self._unlocked: _Unlocked | None = None

    def check_directory(self) -> None:
        """Load the key; create one for an empty directory.

        Checked at every write, because the threads may be decrypted while this program runs.
        Raises `WrongPassphraseError`, `NoKeyError`, `DamagedKeyFileError`, or, if threads are
        unencrypted or being converted, `EncryptedThreadsError`.
        """
        self._load_encryptor()

    def stem(self, thread_id: str) -> str:
        """Return the stem of a thread."""
        return self._encryptor.stem(thread_id)

    def encode(self, stem: str, text: bytes) -> bytes:
        """Return `text` encrypted for the thread of `stem`."""
        return self._encryptor.encode(stem, text)

    def encode_parts(self, stem: str, *text: Bytes) -> tuple[Bytes, ...]:
        """Return the parts of what `encode` returns for the parts of a text."""
        return self._encryptor.encode_parts(stem, *text)

    def decode(self, stem: str, data: bytes) -> bytes:
        """Return the text. Raises `NotAThreadError`."""
        return self._encryptor.decode(stem, data)

    def read_head(self, stem: str, start: bytes, size: int) -> Head | None:
        """Return the head of the thread in a file, None if the whole file must be read."""
        return self._encryptor.read_head(stem, start, size)

    def encode_recovery(self, text: bytes) -> bytes:
        """Return `text` encrypted with the directory's key; the directory may be missing now."""
        return self._encryptor.encode(RECOVERY_STEM, text)

    @property
    def _encryptor(self) -> FileEncryptor:
        return self._load_encryptor() if self._unlocked is None else self._unlocked.encryptor

    def _load_encryptor(self) -> FileEncryptor:
        with self._unlock_lock:
            signature = self._signature()
            unlocked = self._unlocked
            if unlocked is not None and unlocked.signature == signature:
                return unlocked.encryptor
            wrapped = read_key_file(self._directory)
            key = None
            if wrapped is None:
                if unlocked is not None:
                    raise _not_encrypted_error(self._directory)
                wrapped, key = self._create_key()
            if wrapped.stage != "sealed":
                raise _unfinished_error(self._directory)
            if unlocked is not None and unlocked.name == wrapped.name:
                encryptor = unlocked.encryptor  # only the wrapping has changed; the key is the same
            else:
                encryptor = FileEncryptor(key or wrapped.unwrap(self._source), wrapped.name)
            self._unlocked = _Unlocked(self._signature(), wrapped.name, encryptor)
            return encryptor

    def _signature(self) -> Signature | None:
        try:
            return file_signature((self._directory / KEY_FILE).lstat())
        except FileNotFoundError:
            return None

    def _create_key(self) -> tuple[WrappedKey, bytes | None]:
        """Create the key of an empty directory; return it wrapped and unwrapped.

        If another process has created it first, the unwrapped key is None.
        """
        with key_lock(self._directory):
            existing = read_key_file(self._directory)
            if existing is not None:
                return existing, None
            for path in self._directory.iterdir():
                if is_thread_file(path.name, ENCRYPTED_SUFFIX):
                    raise key_file_error(self._directory, "missing")
                if is_thread_file(path.name, UnencryptedCodec.suffix):
                    raise _not_encrypted_error(self._directory)
            key, name = new_key()
            wrapped = wrap(key, name, self._source)
            write_key_file(self._directory, wrapped)
            return wrapped, key


def is_encrypted(data: bytes) -> bool:
    """Return whether a file's bytes begin with the header that `FileEncryptor` writes."""
    return data.startswith(dumps({"format": FORMAT})[:-1].encode("ascii"))


def _unfinished_error(directory: Path) -> StorageError:
    """Return the error for a partly converted directory."""
    return EncryptedThreadsError(
        f"The threads in {directory} are being encrypted or decrypted, or that was interrupted. "
        "Wait until it is done, or start it again."
    )


def _not_encrypted_error(directory: Path) -> StorageError:
    return EncryptedThreadsError(
        f"The threads in {directory} are not encrypted, or their key file is missing. "
        "Encrypt them, or open them without a key."
    )
