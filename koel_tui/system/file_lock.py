"""File locks (`flock`), which exclude other processes and other openings of the same file.

The operating system releases the locks of a process that ends.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_POLL_INTERVAL_S = 0.005
_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_CHECK_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK})


@dataclass(frozen=True, slots=True)
class LockResult:
    """The result of locking; without a lock, `error` is the reason, None if held elsewhere."""

    acquired: bool
    error: OSError | None = None

    @property
    def held_elsewhere(self) -> bool:
        """True if another process, or another opening of the file, holds the lock."""
        return not self.acquired and self.error is None

    @property
    def unsupported(self) -> bool:
        """True if the file system has no locks."""
        return self.error is not None and self.error.errno in _UNSUPPORTED


def lock_descriptor(descriptor: int, *, shared: bool = False, wait: bool = False) -> LockResult:
    """Lock an open file until it is closed. Never raises OSError."""
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, operation if wait else operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return LockResult(acquired=False)
    except OSError as error:
        return LockResult(acquired=False, error=error)
    return LockResult(acquired=True)


def is_locked(path: Path) -> bool:
    """Return whether the file at `path` is locked exclusively; False if it cannot be opened.

    The file is neither created nor changed. A shared lock is tried, so that concurrent checks do
    not see each other.
    """
    with suppress(OSError):
        descriptor = os.open(path, _CHECK_FLAGS)
        try:
            return lock_descriptor(descriptor, shared=True).held_elsewhere
        finally:
            _unlock_and_close(descriptor)
    return False


class FileLock:
    """An exclusive lock on a lock file, which is created if it is absent and never removed.

    Removing it would allow two holders: one of the removed file, one of a new file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, timeout_s: float | None = 0.0) -> LockResult:
        """Acquire the lock, waiting at most `timeout_s` seconds; None waits without a limit.

        Raises OSError if the file cannot be opened; a link at its path is not followed.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            result = self._try_acquire(wait=end is None)
            if not result.held_elsewhere or (end is not None and time.monotonic() >= end):
                return result
            time.sleep(_POLL_INTERVAL_S)

    def release(self) -> None:
        """Release the lock; do nothing if it is not held. Never raises OSError."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _unlock_and_close(descriptor)

    @contextmanager
    def hold(self, timeout_s: float | None = 0.0) -> Iterator[LockResult]:
        """Acquire the lock as `acquire` does, and release it after the block.

        The block also runs without the lock, so it must check the result.
        """
        result = self.acquire(timeout_s)
        try:
            yield result
        finally:
            self.release()

    def write(self, content: bytes) -> None:
        """Replace the content of the file while the lock is held. Raises OSError."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, content, 0)

    def _try_acquire(self, *, wait: bool) -> LockResult:
        descriptor = os.open(self._path, _OPEN_FLAGS, 0o600)
        try:
            result = lock_descriptor(descriptor, wait=wait)
            if result.acquired and os.fstat(descriptor).st_nlink == 0:
                # The file was removed after it was opened, so its lock excludes no other process.
                result = LockResult(acquired=False)
        except BaseException:
            _unlock_and_close(descriptor)
            raise
        if result.acquired:
            self._descriptor = descriptor
        else:
            _unlock_and_close(descriptor)
        return result


def _unlock_and_close(descriptor: int) -> None:
    # Closing alone is not enough: a child process that is being forked shares the open file, and
    # would hold the lock until it executes its program.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    with suppress(OSError):
        os.close(descriptor)
