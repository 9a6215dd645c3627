"""Keeping the search index abreast of what is saved, beside everything else."""

import asyncio
import logging

from koel_tui.paths import DirectoryError
from koel_tui.storage.errors import StorageError
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.search.thread_index import Progress, ThreadIndex

_log = logging.getLogger(__name__)

QUIET = 2.0
"""Seconds without a save before what was saved is read: an answer being written is saved often."""


class IndexUpkeep:
    """Reads what changes in a storage into its search index, once saving has paused.

    What fails is logged and tried again at the next change: searching refreshes the index anyway,
    and tells.
    """

    def __init__(self, storage: FileStorage, index: ThreadIndex, quiet: float = QUIET) -> None:
        self._storage = storage
        self._index = index
        self._quiet = quiet
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, progress: Progress | None = None) -> None:
        """Read what is not in the index yet, then what changes, until `close`."""
        if self._task is None:
            self._storage.watch(self._changed.set)
            self._task = asyncio.create_task(self._keep(progress))

    async def close(self) -> None:
        """End it; what was read so far stays in the index."""
        task, self._task = self._task, None
        if task is not None:
            self._storage.unwatch(self._changed.set)
            task.cancel()
            await asyncio.wait([task])
        await self._index.close()

    async def _keep(self, progress: Progress | None) -> None:
        while True:
            try:
                await self._index.refresh(progress)
            except (StorageError, DirectoryError) as error:
                _log.warning("The search index was not brought up to date: %s", error)
            await self._changed.wait()
            while self._changed.is_set():
                self._changed.clear()
                await asyncio.sleep(self._quiet)
