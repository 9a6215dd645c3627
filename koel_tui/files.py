"""Opening files that others named: plain ones, and none that would keep us waiting."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class NotPlainError(OSError):
    """It is a folder, a pipe, a device: nothing that is read to its end and put away."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, "not a plain file", str(path))


class TooLargeError(OSError):
    """There is more in it than anything of its kind has."""

    def __init__(self, path: Path, limit: int) -> None:
        shown = f"{limit // 1024**2} MB" if limit >= 1024**2 else f"{limit // 1024} KB"
        super().__init__(errno.EFBIG, f"it is larger than {shown}", str(path))


def expanded(path: Path) -> Path:
    """Return a path with the home directory for its `~`; unchanged where that is not known.

    An unknown user (`~nobody/x`) and a process without HOME, whose user has no entry in the system,
    have none. No file has such a path then, and the caller reports that.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def read_plain(path: Path, limit: int) -> bytes:
    """Return what is in a file of at most `limit` bytes; links are followed.

    Raises OSError, `NotPlainError` and `TooLargeError` among it.
    """
    with open_plain(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise TooLargeError(path, limit)
    return data


def open_plain(path: Path) -> BinaryIO:
    """Open a file to be read; links are followed. Raises OSError, `NotPlainError` among it."""
    descriptor = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotPlainError(path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def has_name(descriptor: int, path: Path) -> bool:
    """Return whether an open file still has this name: another process may have put it aside."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False
