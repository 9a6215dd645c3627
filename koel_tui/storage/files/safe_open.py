"""Reading of regular files only, without following symbolic links."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from koel_tui.storage.errors import StorageError
from koel_tui.storage.thread_head import is_displayable

MAX_BYTES = 256 * 1024 * 1024
"""The maximum size of a thread's file; parsed, it takes a multiple of that in memory."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_file(path: Path) -> tuple[bytes, os.stat_result] | None:
    """Return a file's bytes and status, None if it is absent.

    Raises `StorageError` if it is not a regular file or exceeds `MAX_BYTES`; OSError.
    """
    descriptor = _open_regular(path)
    if descriptor is None:
        return None
    try:
        status = _check_status(path, descriptor)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(status.st_size + 1)
        if len(data) > status.st_size:
            raise StorageError(f"{path} grew while it was read. Try again.")
        return data, status
    finally:
        os.close(descriptor)


def read_start(path: Path | str, size: int) -> tuple[bytes, os.stat_result] | None:
    """Return the first `size` bytes of a file and its status, otherwise like `read_file`."""
    descriptor = _open_regular(path)
    if descriptor is None:
        return None
    try:
        status = _check_status(path, descriptor)
        return os.read(descriptor, size), status
    finally:
        os.close(descriptor)


def _open_regular(path: Path | str) -> int | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114 - a list has no `Path` for each file
            raise StorageError(_not_regular(path)) from error
        raise


def _check_status(path: Path | str, descriptor: int) -> os.stat_result:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(_not_regular(path))
    if is_too_large(status.st_size):
        raise StorageError(
            f"{path} is larger than {MAX_BYTES // 1024**2} MB and is not read. Move it away."
        )
    return status


def modified_time(status: os.stat_result) -> datetime:
    """Return a file's modification time in UTC.

    It may be any 64-bit number; one outside the range of `datetime` becomes 1970.
    """
    try:
        modified = _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    except OverflowError:
        return _EPOCH
    return modified if is_displayable(modified) else _EPOCH


def is_too_large(size: int) -> bool:
    """Return whether a file of `size` bytes exceeds `MAX_BYTES`."""
    return size > MAX_BYTES


def check_regular(path: Path) -> bool:
    """Return whether the file exists. Raises `StorageError` if it is not regular; OSError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(_not_regular(path))
    return True


def _not_regular(path: Path | str) -> str:
    return f"{path} is not a regular file; links are neither followed nor replaced. Move it away."
