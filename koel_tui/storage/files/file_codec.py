"""How threads stand in their files: the seam between a directory in clear and an encrypted one."""

import hashlib
from pathlib import Path
from typing import Protocol

from koel_tui.storage.errors import EncryptedThreadsError
from koel_tui.storage.files.file_names import KEY_FILE


class Form(Protocol):
    """Names the file of a thread and turns its JSON into the bytes of that file and back.

    A stem is the name without its suffix; it stands for one thread and gives nothing away.
    """

    @property
    def suffix(self) -> str:
        """The end of the names of its files, with the dot."""
        ...

    def stem(self, thread_id: str) -> str:
        """Return the stem of a thread; any string gives a harmless one."""
        ...

    def seal(self, stem: str, text: bytes) -> bytes:
        """Return what the file holds of `text`."""
        ...

    def unseal(self, stem: str, data: bytes) -> bytes:
        """Return the text in the bytes of a file. Raises `NotAThreadError`."""
        ...


class Codec(Form, Protocol):
    """The form of one directory, which can change while the program runs."""

    def admit(self) -> None:
        """Raise `StorageError` unless the directory is kept in this form at this moment."""
        ...

    def seal_aside(self, text: bytes) -> bytes:
        """Return what a file in any other place may hold of `text`; `ASIDE` is its stem.

        The directory need not be there. Raises `StorageError`.
        """
        ...


class ClearCodec:
    """Files that hold the JSON itself."""

    suffix = ".json"

    def __init__(self, directory: Path) -> None:
        self._keys = directory / KEY_FILE

    def admit(self) -> None:
        """Raise `EncryptedThreadsError` where threads are encrypted: nothing goes there in clear.

        Asked again at every write, since they may be encrypted while this program runs.
        """
        if self._keys.exists():
            raise EncryptedThreadsError(
                f"The threads in {self._keys.parent} are encrypted. Open them with their key."
            )

    def seal_aside(self, text: bytes) -> bytes:
        """Return the text as it is, unless the threads are encrypted by now."""
        self.admit()
        return text

    def stem(self, thread_id: str) -> str:
        """Return the stem of a thread: a hash, so that any string is a name."""
        digest = hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()
        return f"t-{digest[:32]}"

    def seal(self, stem: str, text: bytes) -> bytes:
        """Return the text as it is."""
        return text

    def unseal(self, stem: str, data: bytes) -> bytes:
        """Return the bytes as they are."""
        return data
