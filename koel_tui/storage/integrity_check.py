"""Read-only integrity check of a thread directory.

Blocking, and loads every thread; call it from worker threads and commands.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from koel_tui.storage.errors import FutureSchemaError, NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import Codec
from koel_tui.storage.files.file_names import is_thread, tag_of
from koel_tui.storage.files.quarantine import Quarantine, Signature, signature_of
from koel_tui.storage.files.safe_open import changed_at, read_file
from koel_tui.storage.files.thread_folder import ThreadFolder
from koel_tui.storage.migration import MIGRATIONS, SCHEMA
from koel_tui.storage.search.thread_index import Progress, entry_of
from koel_tui.system.atomic_write import find_temporaries


@dataclass(frozen=True, slots=True)
class Indexed:
    """The expected index entry of a file: its signature and its number of texts."""

    signature: Signature
    texts: int


@dataclass(frozen=True, slots=True)
class Readable:
    """The readable threads of a folder by file name, and the damaged and newer files."""

    whole: dict[str, Indexed]
    damaged: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """The number of other files in a thread directory, by kind.

    `held` are locks held now. `foreign` have a thread's file name but are not regular files:
    links, directories, pipes.
    """

    quarantined: int = 0
    conflicts: int = 0
    backups: int = 0
    trashed: int = 0
    left_over: int = 0
    locks: int = 0
    held: int = 0
    foreign: int = 0


def read_all(directory: Path, codec: Codec, progress: Progress | None = None) -> Readable:
    """Load and validate every thread of a directory. Raises OSError, `StorageError`."""
    shelf = ThreadFolder(directory, codec, Quarantine(directory, copying=False), MIGRATIONS)
    files = shelf.files()
    whole, damaged, newer = {}, [], []
    for number, (path, _) in enumerate(files, 1):
        try:
            found = _indexed(shelf, path)
            if found is not None:
                whole[path.name] = found
        except FutureSchemaError:
            newer.append(path.name)
        except (NotAThreadError, StorageError, OSError):
            damaged.append(path.name)
        if progress is not None:
            progress(number, len(files))
    return Readable(whole, tuple(damaged), tuple(newer))


def _indexed(shelf: ThreadFolder, path: Path) -> Indexed | None:
    read = read_file(path)
    if read is None:
        return None  # deleted since it was listed
    data, status = read
    record = shelf.decode(data, path)
    record.chat_state()
    if record.header.schema > SCHEMA:
        raise FutureSchemaError(record.header.id, record.header.schema)
    signature = signature_of(status)
    entry = entry_of(shelf, path, data, signature, changed_at(status))
    return Indexed(signature, len(entry.said))


def kept_beside(directory: Path, suffix: str) -> Kept:
    """Count the other files in a thread directory. Raises OSError."""
    tags = [tag for name in _names(directory) if (tag := tag_of(name, suffix)) is not None]
    folders = (directory, directory / "quarantine", directory / "trash")
    locks = [name for name in _names(directory / "locks") if name.endswith(".lock")]
    return Kept(
        quarantined=len(_names(directory / "quarantine")),
        conflicts=sum(tag.startswith("conflict-") for tag in tags),
        backups=sum(tag.startswith("schema-") for tag in tags),
        trashed=sum(is_thread(name, suffix) for name in _names(directory / "trash")),
        left_over=sum(len(find_temporaries(folder)) for folder in folders if folder.is_dir()),
        locks=len(locks),
        held=sum(_is_held(directory / "locks" / name) for name in locks),
        foreign=sum(1 for _ in _foreign(directory, suffix)),
    )


def _names(folder: Path) -> list[str]:
    """Return the names in a folder that are not hidden; empty if the folder is absent."""
    try:
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []


def _foreign(directory: Path, suffix: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_thread(entry.name, suffix) and not entry.is_file(follow_symlinks=False):
                yield entry.name


def _is_held(path: Path) -> bool:
    """Return whether a lock is held at this moment.

    A shared lock is tried, because acquiring it as a writer would write to the lock file and could
    block a writer.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False
