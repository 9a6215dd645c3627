"""Background updates of the search index."""

import asyncio
import logging

from koel_tui.paths import DirectoryError
from koel_tui.storage.errors import StorageError
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.search.thread_index import Progress, ThreadIndex

_log = logging.getLogger(__name__)

DEBOUNCE_S = 2.0
"""Seconds without a save before the index is updated; a streaming answer is saved often."""


class IndexUpdater:
    """Updates a storage's search index after changes, debounced by `delay` seconds.

    Errors are logged, and the update is retried at the next change; a search refreshes the index
    as well, and reports errors.
    """

    def __init__(self, storage: FileStorage, index: ThreadIndex, delay: float = DEBOUNCE_S) -> None:
        self._storage = storage
        self._index = index
        self._delay = delay
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, progress: Progress | None = None) -> None:
        """Update the index now, then after each change, until `close`."""
        if self._task is None:
            self._storage.watch(self._changed.set)
            self._task = asyncio.create_task(self._run(progress))

    async def close(self) -> None:
        """Stop the updates and close the index; what was indexed so far is kept."""
        task, self._task = self._task, None
        if task is not None:
            self._storage.unwatch(self._changed.set)
            task.cancel()
            await asyncio.wait([task])
        await self._index.close()

    async def _run(self, progress: Progress | None) -> None:
        while True:
            try:
                await self._index.refresh(progress)
            except (StorageError, DirectoryError) as error:
                _log.warning("The search index was not updated: %s", error)
            await self._changed.wait()
            while self._changed.is_set():
                self._changed.clear()
                await asyncio.sleep(self._delay)
