"""A storage of one JSON file per thread."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from koel_tui.protocol import ChatState
from koel_tui.storage.lanes import Lanes
from koel_tui.storage.memory import utc_now
from koel_tui.storage.quarantine import DamagedThread
from koel_tui.storage.record import newest_first
from koel_tui.storage.storage import Summary
from koel_tui.storage.thread_directory import ThreadDirectory


class JsonFileStorage:
    """Keeps each thread in a JSON file of its own in one private directory.

    A save is on the disk when it returns. Nothing touches the disk before the first call, and no
    call does so on the event loop's thread. A file that cannot be read is copied aside, reported
    in `damaged`, never overwritten, and otherwise as if it were absent. Besides `StorageError`,
    calls raise `koel_tui.paths.DirectoryError` when the directory cannot be used.
    """

    def __init__(self, directory: Path | str, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._files = ThreadDirectory(Path(directory), clock)
        self._lanes = Lanes()

    @property
    def damaged(self) -> tuple[DamagedThread, ...]:
        """The files found damaged by the calls made so far."""
        return self._files.quarantine.damaged

    async def save(self, thread_id: str, state: ChatState) -> None:
        """Write `state` as the thread's newest; what is known about the thread stays.

        Raises `StorageError`: `FutureSchemaError` and `DamagedThreadError` say that the file must
        not be written.
        """
        await self._lanes.run(thread_id, lambda: self._files.save(thread_id, state))

    async def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state ready to be shown, or None when none can be read."""
        return await self._lanes.run(thread_id, lambda: self._files.load(thread_id))

    async def delete(self, thread_id: str) -> None:
        """Remove the thread's file; one that is absent is fine."""
        await self._lanes.run(thread_id, lambda: self._files.delete(thread_id))

    async def list_threads(self) -> list[str]:
        """Return the ids of the saved threads in a fresh list."""
        return [summary.id for summary in await self.summaries()]

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        """Set what is known about a thread; None removes a field. An absent thread is made."""
        await self._lanes.run(thread_id, lambda: self._files.update_meta(thread_id, fields))

    async def meta(self, thread_id: str) -> dict[str, Any]:
        """Return what is known about a thread, in a fresh dict; empty when it is absent."""
        return await self._lanes.run(thread_id, lambda: self._files.meta(thread_id))

    async def summaries(self) -> list[Summary]:
        """Return the saved threads, the one changed last first."""
        return await asyncio.to_thread(lambda: newest_first(self._files.summaries()))
