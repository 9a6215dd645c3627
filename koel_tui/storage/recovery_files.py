"""Recovery files: threads that could not be saved, written to another directory and restored."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from koel_tui.paths import DirectoryError, private_directory
from koel_tui.protocol import ChatState, Message, settle
from koel_tui.protocol.codec.state_codec import dumps
from koel_tui.storage.encryption.encrypted_codec import is_encrypted
from koel_tui.storage.errors import FutureSchemaError, NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import FileEncoding, UnencryptedCodec
from koel_tui.storage.files.file_names import ENCRYPTED_SUFFIX, RECOVERY_STEM
from koel_tui.storage.files.safe_open import read_file
from koel_tui.storage.interchange.json_format import from_native, to_native
from koel_tui.storage.interchange.portable_thread import Thread
from koel_tui.storage.interchange.save_imported import Stored, store_thread
from koel_tui.storage.session_storage import SessionStorage
from koel_tui.storage.thread_record import parse_json
from koel_tui.system.atomic_write import flush_directory, remove_temporaries, write_atomically

_FORMAT = "koel-chat/recovery"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class UnsavedWork:
    """Unsaved work: threads, and the app's tabs with their drafts.

    `tabs` is JSON in a format of the app.
    """

    threads: tuple[Thread, ...] = ()
    tabs: Any = None


def write_recovery_file(
    unsaved: UnsavedWork,
    directories: Iterable[Path],
    encode: Callable[[bytes], bytes],
    at: datetime,
) -> Path:
    """Write unsaved work to a new file in the first writable directory; return its path.

    `encode` encrypts the content, or returns it unchanged. Raises `StorageError` with the reasons
    if no directory is writable.
    """
    threads = ",".join(to_native(thread).strip() for thread in unsaved.threads)
    header = dumps({"format": _FORMAT, "version": _VERSION, "tabs": unsaved.tabs})
    data = encode(f'{header[:-1]},"threads":[{threads}]}}'.encode("ascii"))
    suffix = ENCRYPTED_SUFFIX if is_encrypted(data) else UnencryptedCodec.suffix
    name = f"unsaved-{at:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}{suffix}"
    reasons = []
    for directory in directories:
        path = directory / name
        try:
            private_directory(directory)
            write_atomically(path, data)
            flush_directory(directory.parent)  # the directory may be new
        except DirectoryError as error:
            reasons.append(str(error))
        except OSError as error:
            reasons.append(f"{path}: {error.strerror or error}.")
        else:
            return path
    raise StorageError(f"No recovery file could be written: {' '.join(reasons)}")


def find_recovery_files(directories: Iterable[Path]) -> list[Path]:
    """Return the recovery files, the oldest of each directory first.

    Only regular files in directories that the user owns are returned.
    """
    found: list[Path] = []
    for directory in directories:
        with suppress(OSError):  # an unreadable or missing directory has no recovery files
            status = directory.lstat()
            if directory.is_symlink() or status.st_uid != os.getuid():
                continue
            remove_temporaries(directory)
            names = (path for path in directory.iterdir() if is_recovery_file(path))
            found += sorted(path for path in names if path.is_file() and not path.is_symlink())
    return found


def is_recovery_file(path: Path) -> bool:
    """Return whether a file has the name of a recovery file."""
    return path.name.startswith("unsaved-") and path.suffix in (
        UnencryptedCodec.suffix,
        ENCRYPTED_SUFFIX,
    )


def read_recovery_file(path: Path, encoding: FileEncoding | None) -> UnsavedWork:
    """Return the content of a recovery file; `encoding` decrypts an encrypted one.

    Raises `NotAThreadError` with the reason if it cannot be read; `StorageError`, OSError.
    """
    read = read_file(path)
    if read is None:
        raise NotAThreadError("there is no such file")
    data = read[0]
    if is_encrypted(data):
        if encoding is None or encoding.suffix != ENCRYPTED_SUFFIX:
            raise NotAThreadError("it is encrypted, and the saved threads are not")
        data = encoding.decode(RECOVERY_STEM, data)
    wire = parse_json(data)
    if not isinstance(wire, dict) or wire.get("format") != _FORMAT:
        raise NotAThreadError(f"it is not in the format {_FORMAT}")
    threads = wire.get("threads")
    if wire.get("version") != _VERSION or not isinstance(threads, list):
        raise NotAThreadError("it was written by another version of koel-chat")
    return UnsavedWork(tuple(map(from_native, threads)), wire.get("tabs"))


async def restore_thread(storage: SessionStorage, thread: Thread) -> Stored:
    """Save a thread from a recovery file, under its id if it only continues the saved thread.

    Otherwise it becomes a separate thread. Raises `StorageError`.
    """
    try:
        saved = await storage.load(thread.id)
    except FutureSchemaError:
        saved = None
    state = settle(thread.state)
    if saved is None or saved == state or not is_continuation(saved, state):
        return await store_thread(storage, thread)
    await storage.save(thread.id, thread.state)
    fields = {key: value for key, value in thread.meta.items() if key not in ("created", "updated")}
    await storage.update_meta(thread.id, **fields)
    return Stored(thread.id, thread.title, is_new=True)


def is_continuation(before: ChatState, after: ChatState) -> bool:
    """Return whether `after` contains all messages of `before`, in any branch.

    A message may be longer in `after`.
    """
    contents = {message.id: message.content for message in _messages(after)}
    return all(
        contents.get(message.id, "").startswith(message.content)
        for message in _messages(before)
        if message.content
    )


def _messages(state: ChatState) -> Iterator[Message]:
    yield from state.messages
    for fork in state.forks:
        for branch in fork.branches:
            yield from branch
