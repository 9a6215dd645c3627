"""Threads that were thrown away and can be taken back."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from koel_tui.paths import private_directory
from koel_tui.storage.errors import not_in_trash, place_taken
from koel_tui.storage.files.thread_directory import ThreadDirectory
from koel_tui.storage.session_storage import Summary
from koel_tui.system.atomic_write import flush_directory


class Trash:
    """The subdirectory `trash` of a directory of threads; a file's time says when it came there."""

    def __init__(self, threads: ThreadDirectory, clock: Callable[[], datetime]) -> None:
        self._threads = threads
        self._shelf = threads.shelf_at("trash")
        self._clock = clock

    def put(self, thread_id: str) -> None:
        """Move a thread here, in place of an older one of its id; an absent one is fine."""
        if not self._threads.exists(thread_id):
            return
        with self._threads.writing(thread_id) as path:
            self._move(path, private_directory(self._shelf.path) / path.name)
            self._threads.forget(path)

    def take_back(self, thread_id: str) -> None:
        """Move a thread from here to its place. Raises `StorageError` when that is not free."""
        with self._threads.writing(thread_id) as path:
            if self._threads.exists(thread_id):
                raise place_taken(thread_id)
            source = self._shelf.path / path.name
            if not source.exists():
                raise not_in_trash(thread_id)
            self._move(source, path)
            self._shelf.forget(source)

    def summaries(self) -> list[Summary]:
        """Return the threads in the trash that can be read, the one thrown away last first."""
        self._threads.prepare()
        return list(self._shelf.summaries()) if self._shelf.path.is_dir() else []

    def empty(self, older_than: timedelta) -> int:
        """Remove for good what has been here so long. Return how many threads went."""
        self._threads.prepare()
        if not self._shelf.path.is_dir():
            return 0
        limit = (self._clock() - older_than).timestamp() * 1e9
        gone = [path for path, signature in self._shelf.files() if signature[3] <= limit]
        for path in gone:
            path.unlink(missing_ok=True)
            self._shelf.forget(path)
        flush_directory(self._shelf.path)
        return len(gone)

    def _move(self, source: Path, target: Path) -> None:
        now = self._clock().timestamp()
        os.utime(source, (now, now), follow_symlinks=False)
        source.replace(target)
        flush_directory(target.parent)
        flush_directory(source.parent)
