"""Writing a file so that a crash at any moment leaves the old content or the new, never a mix."""

import fcntl
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

_LEFT_OVER = re.compile(r"\.(t-[0-9a-f]{32}|keys|unsaved-[0-9a-f-]+)\..*\.[0-9a-f]{16}\.tmp")


def write_atomically(path: Path, data: bytes) -> os.stat_result:
    """Make `data` the content of `path`, readable by its owner alone, and return its status.

    When this returns, the content is on the disk and stays there through a loss of power. Raises
    OSError: then the old content is intact, or the new one is there but may not outlast a loss of
    power; either way write again. A link at `path` is replaced, what it points to is not touched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with suppress(
            OSError
        ):  # not every file system locks; without one only sweeping is less safe
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_all(descriptor, data)
        _flush(descriptor)
        status = os.fstat(descriptor)
        temporary.replace(path)
    except BaseException:
        # Never tried again: after a failed flush the system may take what it lost for written.
        with suppress(OSError):  # what is left is swept later; the error that matters is on its way
            temporary.unlink()
        raise
    finally:
        os.close(descriptor)
    flush_directory(path.parent)
    return status


def flush_directory(directory: Path) -> None:
    """Make the names in `directory` last through a loss of power. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def sweep(directory: Path) -> None:
    """Remove the temporary files that killed processes left in `directory`.

    A writer holds a lock on its temporary file while it lives, so nobody's work is taken away.
    """
    for path in left_over(directory):
        with suppress(OSError):  # it is being written, or cannot be removed: next time
            _remove_unlocked(path)


def left_over(directory: Path) -> list[Path]:
    """Return the temporary files in `directory`; some may still be written. Raises OSError."""
    with os.scandir(directory) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if _LEFT_OVER.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
        ]


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _flush(descriptor: int) -> None:
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)  # on macOS fsync stops at the cache of the disk
