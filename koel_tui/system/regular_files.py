"""Opening files at paths from outside: regular files only, without blocking on a FIFO."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class NotRegularFileError(OSError):
    """Not a regular file (a directory, FIFO or device)."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, "not a regular file", str(path))


class TooLargeError(OSError):
    """The file exceeds the size limit."""

    def __init__(self, path: Path, limit: int) -> None:
        shown = f"{limit // 1024**2} MB" if limit >= 1024**2 else f"{limit // 1024} KB"
        super().__init__(errno.EFBIG, f"it is larger than {shown}", str(path))


def expand_user(path: Path) -> Path:
    """Return a path with `~` expanded, or unchanged if the home directory is unknown.

    It is unknown for a user that does not exist (`~nobody/x`), and for a process without HOME
    whose user has no system entry. The caller then reports that the file does not exist.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def exists(path: Path) -> bool:
    """Return whether a path exists; False if that is not known.

    It is not known if a directory of it cannot be searched, or if its name is too long.
    """
    try:
        return path.exists()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file; False if that is not known, as for `exists`."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_directory(path: Path) -> bool:
    """Return whether a path is a directory; False if that is not known, as for `exists`."""
    try:
        return path.is_dir()
    except OSError:
        return False


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; links are followed.

    Raises OSError, including `NotRegularFileError` and `TooLargeError`.
    """
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise TooLargeError(path, limit)
    return data


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; links are followed. Raises OSError or `NotRegularFileError`."""
    descriptor = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotRegularFileError(path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def is_at_path(descriptor: int, path: Path) -> bool:
    """Return whether an open file still has this path; another process may have renamed it."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False
