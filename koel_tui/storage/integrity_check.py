"""Read-only integrity check of a thread directory.

Blocking, and loads every thread; call it from worker threads and commands.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from koel_tui.storage.errors import FutureSchemaError, NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import Codec
from koel_tui.storage.files.file_names import is_thread_file, parse_tag
from koel_tui.storage.files.quarantine import Quarantine, Signature
from koel_tui.storage.files.thread_file import read_thread
from koel_tui.storage.files.thread_folder import ThreadFolder
from koel_tui.storage.migration import MIGRATIONS, SCHEMA
from koel_tui.storage.search.thread_index import Progress, build_entry
from koel_tui.system.atomic_write import find_temporaries
from koel_tui.system.file_lock import is_locked


@dataclass(frozen=True, slots=True)
class EntrySummary:
    """The signature of a file, and the number of its texts in the index."""

    signature: Signature
    texts: int


@dataclass(frozen=True, slots=True)
class ThreadScan:
    """The readable threads of a folder by file name, and the damaged and newer files."""

    intact: dict[str, EntrySummary]
    damaged: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherFiles:
    """The number of other files in a thread directory, by kind.

    `held_locks` are locks held now. `foreign` have a thread's file name but are not regular files:
    links, directories, pipes.
    """

    quarantined: int = 0
    conflicts: int = 0
    backups: int = 0
    trashed: int = 0
    temporaries: int = 0
    locks: int = 0
    held_locks: int = 0
    foreign: int = 0


def scan_threads(directory: Path, codec: Codec, progress: Progress | None = None) -> ThreadScan:
    """Load and validate every thread of a directory. Raises OSError, `StorageError`."""
    folder = ThreadFolder(directory, codec, Quarantine(directory, makes_copies=False), MIGRATIONS)
    files = folder.files()
    intact, damaged, newer = {}, [], []
    for number, (path, _) in enumerate(files, 1):
        try:
            found = _validate(folder, path)
            if found is not None:
                intact[path.name] = found
        except FutureSchemaError:
            newer.append(path.name)
        except (NotAThreadError, StorageError, OSError):
            damaged.append(path.name)
        if progress is not None:
            progress(number, len(files))
    return ThreadScan(intact, tuple(damaged), tuple(newer))


def _validate(folder: ThreadFolder, path: Path) -> EntrySummary | None:
    file = read_thread(path)
    if file is None:
        return None  # deleted since it was listed
    record = folder.decode(file, path)
    record.chat_state()
    if record.header.schema > SCHEMA:
        raise FutureSchemaError(record.header.id, record.header.schema)
    return EntrySummary(file.signature, len(build_entry(folder, path, file).texts))


def count_other_files(directory: Path, suffix: str) -> OtherFiles:
    """Count the other files in a thread directory. Raises OSError."""
    tags = [
        tag for name in _visible_names(directory) if (tag := parse_tag(name, suffix)) is not None
    ]
    folders = (directory, directory / "quarantine", directory / "trash")
    locks = [name for name in _visible_names(directory / "locks") if name.endswith(".lock")]
    return OtherFiles(
        quarantined=len(_visible_names(directory / "quarantine")),
        conflicts=sum(tag.startswith("conflict-") for tag in tags),
        backups=sum(tag.startswith("schema-") for tag in tags),
        trashed=sum(is_thread_file(name, suffix) for name in _visible_names(directory / "trash")),
        temporaries=sum(len(find_temporaries(folder)) for folder in folders if folder.is_dir()),
        locks=len(locks),
        held_locks=sum(is_locked(directory / "locks" / name) for name in locks),
        foreign=sum(1 for _ in _foreign_names(directory, suffix)),
    )


def _visible_names(folder: Path) -> list[str]:
    """Return the names in a folder that are not hidden; empty if the folder is absent."""
    try:
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []


def _foreign_names(directory: Path, suffix: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_thread_file(entry.name, suffix) and not entry.is_file(follow_symlinks=False):
                yield entry.name
