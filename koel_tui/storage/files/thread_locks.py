"""Lock files, one per thread, so that only one process at a time writes it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from koel_tui.paths import private_directory
from koel_tui.storage.errors import ThreadLockedError, format_process
from koel_tui.storage.session_storage import Access
from koel_tui.system.file_lock import FileLock, is_locked

_TIMEOUT = 0.3  # another process's save holds the lock for milliseconds, an open thread for long


class ThreadLocks:
    """The lock files of a thread directory, in its subdirectory `locks`.

    Lock files are never deleted, because a new file of the same name would be a second lock. The
    system releases the locks of a process that dies. Calls for one name must not overlap.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "locks"
        self._held: dict[str, FileLock] = {}

    def open(self, name: str) -> Access:
        """Acquire the lock until `close`. Raises `DirectoryError`."""
        try:
            if not self._acquire(name):
                pid = self._holder(name)
                reason = f"It is open in another koel-chat{format_process(pid)}."
                return Access(False, pid, f"{reason} Close it there to change it here.")
        except OSError as error:
            reason = f"It cannot be locked in {self._directory}: {error.strerror or error}."
            return Access(False, None, reason)
        return Access(True)

    def close(self, name: str) -> None:
        """Release the lock; do nothing if it is not held."""
        lock = self._held.pop(name, None)
        if lock is not None:
            try:
                _write_holder(lock, "")
            finally:
                lock.release()

    def is_held(self, name: str) -> bool:
        """Return whether this process has opened the lock."""
        return name in self._held

    def is_held_elsewhere(self, name: str) -> bool:
        """Return whether another process holds the lock at this moment, without waiting."""
        try:
            if name in self._held or not self._path(name).stat().st_size:
                return False  # the holder writes its process id, so an empty file is not locked
        except OSError:
            return False
        return is_locked(self._path(name))

    @contextmanager
    def hold(self, name: str, thread_id: str) -> Iterator[None]:
        """Hold the lock for the block; if it is open already, it stays held afterwards.

        Raises `ThreadLockedError`; OSError if the lock file cannot be created or locked.
        """
        if name in self._held:
            yield
            return
        if not self._acquire(name):
            raise ThreadLockedError(thread_id, self._holder(name))
        try:
            yield
        finally:
            self.close(name)

    def _acquire(self, name: str) -> bool:
        if name in self._held:
            return True
        private_directory(self._directory)
        lock = FileLock(self._path(name))
        result = lock.acquire(_TIMEOUT)
        if result.held_elsewhere:
            return False
        if result.error is not None and not result.unsupported:
            raise result.error
        # On a file system without locks, writes still compare the file's content.
        self._held[name] = lock
        try:
            _write_holder(lock, f"{os.getpid()}\n")
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


def _write_holder(lock: FileLock, text: str) -> None:
    """Write the holder into a lock file, for messages only; locking does not depend on it."""
    with suppress(OSError):
        lock.write(text.encode("ascii"))
