"""One lock file per thread, so that one process at a time writes it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui.paths import private_directory
from koel_tui.storage.errors import ThreadLockedError, process
from koel_tui.storage.session_storage import Access

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PATIENCE = 0.3  # a save elsewhere holds the lock for some milliseconds, an open thread for long
_POLL = 0.005
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


class ThreadLocks:
    """The lock files of a directory of threads, in its subdirectory `locks`.

    They are never deleted: a new file under an old name would be a second lock. The system frees
    the locks of a process that died. Calls for one name must not overlap.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "locks"
        self._held: dict[str, BaseFileLock | None] = {}

    def open(self, name: str) -> Access:
        """Take the lock and keep it until `close`. Raises `DirectoryError`."""
        try:
            if not self._take(name):
                pid = self._holder(name)
                reason = f"It is open in another koel-chat{process(pid)}."
                return Access(False, pid, f"{reason} Close it there to write here.")
        except OSError as error:
            reason = f"It cannot be locked in {self._directory}: {error.strerror or error}."
            return Access(False, None, reason)
        return Access(True)

    def close(self, name: str) -> None:
        """Give the lock back; one that is not held is fine."""
        lock = self._held.pop(name, None)
        if lock is not None:
            try:
                _sign(lock, "")
            finally:
                lock.release()

    def held_elsewhere(self, name: str) -> bool:
        """Say whether somebody else holds the lock at this moment. It takes no time to speak of."""
        try:
            if name in self._held or not self._path(name).stat().st_size:
                return False  # who holds it has signed it
        except OSError:
            return False
        from filelock import FileLock, Timeout

        try:
            FileLock(self._path(name), thread_local=False).acquire(timeout=0).lock.release()
        except Timeout:
            return True
        except OSError:
            return False  # whoever opens the thread is told why
        return False

    @contextmanager
    def held(self, name: str, thread_id: str) -> Iterator[None]:
        """Hold the lock for a block, and longer when it is open already.

        Raises `ThreadLockedError`, OSError when there can be no lock.
        """
        if name in self._held:
            yield
            return
        if not self._take(name):
            raise ThreadLockedError(thread_id, self._holder(name))
        try:
            yield
        finally:
            self.close(name)

    def _take(self, name: str) -> bool:
        if name in self._held:
            return True
        from filelock import FileLock, Timeout  # 30 ms that the start of the window can do without

        private_directory(self._directory)
        lock = FileLock(self._path(name), mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=_PATIENCE, poll_interval=_POLL)
        except Timeout:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self._held[name] = (
                None  # the file system has no locks: what is on disk is still checked
            )
            return True
        self._held[name] = lock
        try:
            _sign(lock, f"{os.getpid()}\n")
        except BaseException:
            self.close(name)
            raise
        return True

    def _holder(self, name: str) -> int | None:
        try:
            return int(self._path(name).read_text("ascii").split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.lock"


def _sign(lock: "BaseFileLock", words: str) -> None:
    """Write into a lock file who holds it: for people, no lock depends on it."""
    from filelock import SoftFileLock

    if isinstance(lock, SoftFileLock):
        return  # it stands in where flock is missing, and keeps the process in the file itself
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(lock.lock_file, flags)
        try:
            os.write(descriptor, words.encode("ascii"))
        finally:
            os.close(descriptor)
