"""Atomic file writes: a crash leaves either the old content or the new, never a mix."""

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from koel_tui.system.file_lock import lock_descriptor

Bytes = bytes | bytearray | memoryview
_MAX_NAME_IN_TEMPORARY = 100  # bytes; some file systems allow only 143 in all, for example eCryptfs
_TEMPORARY_NAME = re.compile(r"\.(t-[0-9a-f]{32}|keys|unsaved-[0-9a-f-]+)\..*\.[0-9a-f]{16}\.tmp")
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS)
"""The errors of a flush that the file system does not support, as network volumes and FUSE may."""


def write_atomically(path: Path, *parts: Bytes, durable: bool = True) -> os.stat_result:
    """Write `parts` to `path` atomically, readable by its owner only, and return the file status.

    After the return the content is durable, even through a power loss, unless the file system
    cannot flush, or `durable` is False, which is for caches. Raises OSError: then the old content
    is intact, or the new content may not survive a power loss; write again in both cases. A link
    at `path` is replaced; its target is not changed.
    """
    name = os.fsencode(path.name)[:_MAX_NAME_IN_TEMPORARY].decode("utf-8", "ignore")
    temporary = path.with_name(f".{name}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        lock_descriptor(descriptor)  # against `remove_temporaries`
        for part in parts:
            _write_all(descriptor, part)
        if durable:
            _flush(descriptor)
        status = os.fstat(descriptor)
        temporary.replace(path)
    except BaseException:
        # No retry: after a failed fsync the kernel may report lost pages as written.
        with suppress(OSError):  # `remove_temporaries` removes the rest later
            temporary.unlink()
        raise
    finally:
        os.close(descriptor)
    if durable:
        flush_directory(path.parent)
    return status


def install_atomically(temporary: Path, path: Path) -> None:
    """Flush a file that was written already, and rename it atomically and durably to `path`.

    Both must be on one file system. Raises OSError.
    """
    descriptor = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    flush_directory(path.parent)


def append_durably(path: Path, data: Bytes) -> os.stat_result:
    """Append to an existing file, and return its status.

    After the return the content is durable. Raises OSError: then any part of `data` may have been
    appended. A link at `path` is not followed.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        _write_all(descriptor, data)
        _flush(descriptor)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def flush_directory(directory: Path) -> None:
    """Make the entries of `directory` durable through a power loss. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(directory: Path) -> None:
    """Remove the temporary files of killed processes in `directory`.

    A live writer holds a lock on its temporary file, so files in use are not removed.
    """
    for path in find_temporaries(directory):
        with suppress(OSError):  # in use or not removable; the next call retries
            _remove_unlocked(path)


def find_temporaries(directory: Path) -> list[Path]:
    """Return the temporary files in `directory`; some may be in use. Raises OSError."""
    with os.scandir(directory) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if _TEMPORARY_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
        ]


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if lock_descriptor(descriptor).acquired:
            path.unlink()
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: Bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _flush(descriptor: int) -> None:
    """Flush as well as the file system can. Raises OSError if a flush that it supports fails."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:  # macOS fsync does not flush the disk's cache
        with _ignore_unsupported():
            fcntl.fcntl(descriptor, full)
            return
    with _ignore_unsupported():
        os.fsync(descriptor)


@contextmanager
def _ignore_unsupported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
