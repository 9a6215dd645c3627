"""Durable atomic installation of a finished file."""

import fcntl
import os
from pathlib import Path


def install_file(temporary: Path, target: Path) -> None:
    """Flush `temporary` and rename it atomically and durably to `target`. Raises OSError."""
    _flush(temporary, os.O_RDWR)
    temporary.replace(target)
    _flush(target.parent, os.O_RDONLY | os.O_DIRECTORY)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is None:
            os.fsync(descriptor)
        else:
            fcntl.fcntl(descriptor, full)  # on macOS fsync does not flush the disk cache
    finally:
        os.close(descriptor)
