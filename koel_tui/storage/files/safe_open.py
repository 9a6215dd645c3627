"""Reading files: plain ones only, no link is followed."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from koel_tui.storage.errors import StorageError
from koel_tui.storage.thread_record import is_showable

MAX_BYTES = 256 * 1024 * 1024
"""What a file of a thread may have at most; as objects it would take a multiple of it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_file(path: Path) -> tuple[bytes, os.stat_result] | None:
    """Return a file's bytes and status, None when absent.

    Raises `StorageError` for what is no plain file, OSError.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise StorageError(_not_ours(path)) from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(_not_ours(path))
        if too_large(status.st_size):
            raise StorageError(
                f"{path} is larger than {MAX_BYTES // 1024**2} MB and is not read. Move it away."
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(status.st_size + 1)
        if len(data) > status.st_size:
            raise StorageError(f"{path} grew while it was read. Try again.")
        return data, status
    finally:
        os.close(descriptor)


def changed_at(status: os.stat_result) -> datetime:
    """Return when a file was changed last, in UTC.

    The time of a file may be any number of 64 bits. One that no calendar here has is 1970.
    """
    try:
        changed = _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    except OverflowError:
        return _EPOCH
    return changed if is_showable(changed) else _EPOCH


def too_large(size: int) -> bool:
    """Return whether a file of so many bytes would not be read again."""
    return size > MAX_BYTES


def check_plain(path: Path) -> bool:
    """Return whether there is a file. Raises `StorageError` when it is no plain one, OSError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(_not_ours(path))
    return True


def _not_ours(path: Path) -> str:
    return f"{path} is not a plain file; links are neither followed nor replaced. Move it away."
