"""The trash: deleted threads that can be restored."""

import errno
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from koel_tui.paths import private_directory
from koel_tui.storage.errors import id_in_use_error, not_in_trash_error
from koel_tui.storage.files.safe_open import read_file
from koel_tui.storage.files.thread_directory import ThreadDirectory
from koel_tui.storage.session_storage import Summary
from koel_tui.system.atomic_write import flush_directory, write_atomically

_NOT_MOVABLE = (errno.EXDEV, errno.EPERM, errno.ENOSYS, errno.ENOTSUP)
"""The errors of a move to another file system, and of one that does not let the owner set times."""


class Trash:
    """The subdirectory `trash` of a thread directory; a file's mtime is when it was trashed."""

    def __init__(self, threads: ThreadDirectory, clock: Callable[[], datetime]) -> None:
        self._threads = threads
        self._folder = threads.folder_at("trash")
        self._clock = clock

    def add(self, thread_id: str) -> None:
        """Move a thread to the trash, replacing one with its id; do nothing if it is absent."""
        if not self._threads.exists(thread_id):
            return
        with self._threads.hold_for_write(thread_id) as path:
            self._threads.join_journal(thread_id, path)
            self._move(path, private_directory(self._folder.path) / path.name)
            self._threads.forget(path)

    def restore(self, thread_id: str) -> None:
        """Restore a thread.

        Raises `StorageError` if it is not in the trash or if a saved thread has its id.
        """
        with self._threads.hold_for_write(thread_id) as path:
            if self._threads.exists(thread_id):
                raise id_in_use_error(thread_id)
            source = self._folder.path / path.name
            if not source.exists():
                raise not_in_trash_error(thread_id)
            self._move(source, path)
            self._folder.forget(source)

    def summaries(self) -> list[Summary]:
        """Return the readable threads in the trash, most recently trashed first."""
        self._threads.prepare()
        return list(self._folder.summaries()) if self._folder.path.is_dir() else []

    def empty(self, older_than: timedelta) -> int:
        """Delete threads that were trashed at least `older_than` ago; return their number."""
        self._threads.prepare()
        if not self._folder.path.is_dir():
            return 0
        latest = (self._clock() - older_than).timestamp() * 1e9
        files = self._folder.files()
        expired = [path for path, (*_, modified) in files if modified <= latest]
        for path in expired:
            path.unlink(missing_ok=True)
            self._folder.forget(path)
        flush_directory(self._folder.path)
        return len(expired)

    def _move(self, source: Path, target: Path) -> None:
        now = self._clock().timestamp()
        try:
            os.utime(source, (now, now), follow_symlinks=False)
            source.replace(target)
        except OSError as error:
            if error.errno not in _NOT_MOVABLE:
                raise
            _copy(source, target)
        flush_directory(target.parent)
        flush_directory(source.parent)


def _copy(source: Path, target: Path) -> None:
    """Move a file by copying it, which sets its time."""
    read = read_file(source)
    if read is not None:
        write_atomically(target, read[0])
        try:
            source.unlink(missing_ok=True)
        except OSError:  # the thread must not be in both places
            target.unlink(missing_ok=True)
            raise
