"""The interface between thread files and their encoding, unencrypted or encrypted."""

import hashlib
from pathlib import Path
from typing import Protocol

from koel_tui.storage.errors import EncryptedThreadsError
from koel_tui.storage.files.file_names import JSON_SUFFIX, KEY_FILE
from koel_tui.storage.thread_head import Head, find_head, parse_head
from koel_tui.system.atomic_write import Bytes


class FileEncoding(Protocol):
    """Names thread files and converts JSON to the bytes of a file and back.

    A stem is a file name without its suffix; it identifies a thread without revealing its id.
    """

    @property
    def suffix(self) -> str:
        """The suffix of its file names, with the dot."""
        ...

    def stem(self, thread_id: str) -> str:
        """Return the stem of a thread, which is a safe file name for any id."""
        ...

    def encode(self, stem: str, text: bytes) -> bytes:
        """Return the file content for `text`."""
        ...

    def encode_parts(self, stem: str, *text: Bytes) -> tuple[Bytes, ...]:
        """Return the parts of the file content for the parts of a text, which may be large."""
        ...

    def decode(self, stem: str, data: bytes) -> bytes:
        """Return the text of a file's bytes. Raises `NotAThreadError`."""
        ...

    def read_head(self, stem: str, start: bytes, size: int) -> Head | None:
        """Return the head of the thread in a file of `size` bytes that begins with `start`.

        None if the whole file must be read, because it has no head or a damaged one.
        """
        ...


class Codec(FileEncoding, Protocol):
    """The encoding of one directory, which can change while the program runs."""

    def check_directory(self) -> None:
        """Raise `StorageError` unless the directory has this encoding at this moment."""
        ...

    def encode_recovery(self, text: bytes) -> bytes:
        """Return the content for `text` of a recovery file, whose stem is `RECOVERY_STEM`.

        The directory need not exist. Raises `StorageError`.
        """
        ...


class UnencryptedCodec:
    """The codec of unencrypted files, which contain the JSON itself."""

    suffix = JSON_SUFFIX

    def __init__(self, directory: Path) -> None:
        self._key_file = directory / KEY_FILE

    def check_directory(self) -> None:
        """Raise `EncryptedThreadsError` if the directory is encrypted.

        Checked at every write, because the threads may be encrypted while this program runs.
        """
        if self._key_file.exists():
            raise EncryptedThreadsError(
                f"The threads in {self._key_file.parent} are encrypted. Open them with their key."
            )

    def encode_recovery(self, text: bytes) -> bytes:
        """Return the text unchanged. Raises `EncryptedThreadsError` as `check_directory` does."""
        self.check_directory()
        return text

    def stem(self, thread_id: str) -> str:
        """Return the stem of a thread, a hash, because an id may be any string."""
        digest = hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()
        return f"t-{digest[:32]}"

    def encode(self, stem: str, text: bytes) -> bytes:
        """Return the text unchanged."""
        return text

    def encode_parts(self, stem: str, *text: Bytes) -> tuple[Bytes, ...]:
        """Return the parts unchanged."""
        return text

    def decode(self, stem: str, data: bytes) -> bytes:
        """Return the bytes unchanged."""
        return data

    def read_head(self, stem: str, start: bytes, size: int) -> Head | None:
        """Return the head of the thread in a file, None if the whole file must be read."""
        head = find_head(start)
        return None if head is None else parse_head(head, size)
