"""A storage of one file per thread, in clear or encrypted."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from koel_tui.protocol import ChatState
from koel_tui.storage.errors import StorageError
from koel_tui.storage.files.conflicts import Conflict
from koel_tui.storage.files.file_codec import Codec
from koel_tui.storage.files.keyed_executor import KeyedExecutor
from koel_tui.storage.files.quarantine import DamagedThread
from koel_tui.storage.files.thread_directory import ThreadDirectory
from koel_tui.storage.files.thread_folder import ThreadFolder
from koel_tui.storage.files.trash import Trash
from koel_tui.storage.migration import Migrations
from koel_tui.storage.session_storage import Access, Summary
from koel_tui.storage.thread_record import newest_first

T = TypeVar("T")
_log = logging.getLogger(__name__)


class FileStorage:
    """Keeps each thread in a file of its own in one private directory.

    A save is on the disk when it returns. Nothing touches the disk before the first call, and no
    call does so on the event loop's thread. A file that cannot be read is copied aside, reported
    in `damaged`, never overwritten, and otherwise as if it were absent. A save that would replace
    what was not loaded here goes to a file beside it, reported in `conflicts`. Besides
    `StorageError`, calls raise `koel_tui.paths.DirectoryError` when the directory cannot be used.
    """

    def __init__(
        self, directory: Path, codec: Codec, clock: Callable[[], datetime], migrations: Migrations
    ) -> None:
        self.directory = directory
        self.codec = codec
        self._files = ThreadDirectory(directory, codec, clock, migrations)
        self._trash = Trash(self._files, clock)
        self._lanes = KeyedExecutor()
        self._watchers: list[Callable[[], object]] = []

    @property
    def damaged(self) -> tuple[DamagedThread, ...]:
        """The files found damaged by the calls made so far."""
        return self._files.quarantine.damaged

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """The files written aside because somebody else had changed the thread, each once."""
        return self._files.conflicts.found

    async def open(self, thread_id: str) -> Access:
        """Hold the thread for writing until it is closed, unless somebody else does."""
        return await self._do("open", thread_id, lambda: self._files.open(thread_id))

    async def close(self, thread_id: str) -> None:
        """Let others write the thread; one that is not open is fine."""
        await self._do("close", thread_id, lambda: self._files.close(thread_id))

    async def held_elsewhere(self, thread_ids: Iterable[str]) -> frozenset[str]:
        """Return those of these threads that another program has open for writing now."""
        with _telling("look for open threads"):
            return await asyncio.to_thread(
                lambda: frozenset(filter(self._files.held_elsewhere, thread_ids))
            )

    async def save(self, thread_id: str, state: ChatState) -> None:
        """Write `state` as the thread's newest; what is known about the thread stays.

        Raises `StorageError`: `ThreadLockedError` when somebody else holds the thread;
        `FutureSchemaError` and `DamagedThreadError` say that the file must not be written.
        """
        await self._change("save", thread_id, lambda: self._files.save(thread_id, state))

    async def save_conflict(self, thread_id: str, state: ChatState) -> None:
        """Write `state` to a conflict file, reported in `conflicts`.

        For a state that newer ones of the thread must not be replaced by. Raises `StorageError`.
        """
        await self._change("save", thread_id, lambda: self._files.save_conflict(thread_id, state))

    async def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state ready to be shown, or None when none can be read."""
        return await self._do("read", thread_id, lambda: self._files.load(thread_id))

    async def delete(self, thread_id: str) -> None:
        """Remove the thread's file for good; one that is absent is fine."""
        await self._change("delete", thread_id, lambda: self._files.delete(thread_id))

    async def list_threads(self) -> list[str]:
        """Return the ids of the saved threads in a fresh list."""
        return [summary.id for summary in await self.summaries()]

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        """Set what is known about a thread; None removes a field. An absent thread is made."""
        await self._change("save", thread_id, lambda: self._files.update_meta(thread_id, fields))

    async def meta(self, thread_id: str) -> dict[str, Any]:
        """Return what is known about a thread, in a fresh dict; empty when it is absent."""
        return await self._do("read", thread_id, lambda: self._files.meta(thread_id))

    async def summaries(self, limit: int | None = None) -> list[Summary]:
        """Return the saved threads, the one changed last first; with a limit only so many.

        With a limit only the files that changed last are read.
        """
        with _telling("list the threads"):
            return newest_first(await asyncio.to_thread(self._files.summaries, limit))

    async def trash(self, thread_id: str) -> None:
        """Throw the thread away, in place of an older one of its id; an absent one is fine."""
        await self._change("throw away", thread_id, lambda: self._trash.put(thread_id))

    async def restore(self, thread_id: str) -> None:
        """Take a thread back from the trash. Raises `StorageError` when it cannot be."""
        await self._change("bring back", thread_id, lambda: self._trash.take_back(thread_id))

    async def trashed(self) -> list[Summary]:
        """Return the threads in the trash, the one thrown away last first."""
        with _telling("list the trash"):
            return await asyncio.to_thread(self._trash.summaries)

    async def empty_trash(self, older_than: timedelta = timedelta(0)) -> int:
        """Remove for good what has been in the trash so long; return how many threads went."""
        with _telling("empty the trash"):
            return await asyncio.to_thread(self._trash.empty, older_than)

    def reader(self) -> ThreadFolder:
        """Return the threads' files, to be read past the storage: nothing of that shows in it.

        Blocks; for worker threads. Raises `StorageError` where it must not read them.
        """
        self._files.prepare()
        return self._files.shelf_at(".")

    def watch(self, changed: Callable[[], object]) -> None:
        """Have `changed` called on the event loop after each change made by this storage."""
        self._watchers.append(changed)

    def unwatch(self, changed: Callable[[], object]) -> None:
        """Call `changed` no more."""
        self._watchers.remove(changed)

    async def _change(self, deed: str, thread_id: str, job: Callable[[], None]) -> None:
        try:
            await self._do(deed, thread_id, job)
        finally:  # what failed may have come as far as the disk all the same
            for changed in tuple(self._watchers):
                try:
                    changed()
                except Exception:  # the change itself is done
                    _log.exception("A watcher of %s failed", self.directory)

    async def _do(self, deed: str, thread_id: str, job: Callable[[], T]) -> T:
        with _telling(f"{deed} thread {thread_id!r}"):
            return await self._lanes.run(thread_id, job)


@contextmanager
def _telling(deed: str) -> Iterator[None]:
    """Turn an OSError in a block into a `StorageError` that says what could not be done."""
    try:
        yield
    except OSError as error:
        place = f" at {error.filename}" if error.filename else ""
        raise StorageError(
            f"Cannot {deed}{place}: {error.strerror or error}. "
            "Check the disk and the permissions, then try again."
        ) from error
