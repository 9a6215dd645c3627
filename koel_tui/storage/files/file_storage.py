"""A storage with one file per thread, unencrypted or encrypted."""

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
    """A `SessionStorage` with one file per thread in a private directory.

    A save is flushed to disk when it returns. There is no disk access before the first call, and
    none on the event loop's thread. An unreadable file is copied to the quarantine, reported in
    `damaged`, never overwritten, and otherwise treated as absent. A save that would replace a state
    that was not loaded here goes to a conflict file, reported in `conflicts`. In addition to
    `StorageError`, methods raise `koel_tui.paths.DirectoryError` if the directory is not usable.
    """

    def __init__(
        self, directory: Path, codec: Codec, clock: Callable[[], datetime], migrations: Migrations
    ) -> None:
        self.directory = directory
        self.codec = codec
        self._files = ThreadDirectory(directory, codec, clock, migrations)
        self._trash = Trash(self._files, clock)
        self._executor = KeyedExecutor()
        self._watchers: list[Callable[[], object]] = []

    @property
    def damaged(self) -> tuple[DamagedThread, ...]:
        """The damaged files found so far."""
        return self._files.quarantine.damaged

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """The conflict files written because another process had changed a thread, each once."""
        return self._files.conflicts.found

    async def open(self, thread_id: str) -> Access:
        """Acquire the thread's write lock until `close`, unless another process holds it."""
        return await self._run("open", thread_id, lambda: self._files.open(thread_id))

    async def close(self, thread_id: str) -> None:
        """Release the thread's write lock; do nothing if it is not open."""
        await self._run("close", thread_id, lambda: self._files.close(thread_id))

    async def held_elsewhere(self, thread_ids: Iterable[str]) -> frozenset[str]:
        """Return the threads whose write lock another process holds now."""
        with _wrap_os_errors("find the open threads"):
            return await asyncio.to_thread(
                lambda: frozenset(filter(self._files.is_held_elsewhere, thread_ids))
            )

    async def save(self, thread_id: str, state: ChatState) -> None:
        """Save `state` as the thread's newest state; its metadata is kept.

        Raises `StorageError`: `ThreadLockedError` if another process holds the thread,
        `FutureSchemaError` or `DamagedThreadError` if the file must not be written.
        """
        await self._change("save", thread_id, lambda: self._files.save(thread_id, state))

    async def save_progress(self, thread_id: str, state: ChatState) -> None:
        """Save a state that will soon be followed by another one, as `save` does.

        The change of a large thread that is open is written to its journal. `save`, `load` and
        `close` join the journal with the thread's file.
        """
        if type(self).save is not FileStorage.save:  # a subclass may do more at each save
            await self.save(thread_id, state)
            return
        await self._change(
            "save", thread_id, lambda: self._files.save(thread_id, state, is_progress=True)
        )

    async def save_conflict(self, thread_id: str, state: ChatState) -> None:
        """Write `state` to a conflict file, reported in `conflicts`.

        For a state that must not replace newer ones of the thread. Raises `StorageError`.
        """
        await self._change("save", thread_id, lambda: self._files.save_conflict(thread_id, state))

    async def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state, ready to be shown; None if it is absent or unreadable."""
        return await self._run("read", thread_id, lambda: self._files.load(thread_id))

    async def delete(self, thread_id: str) -> None:
        """Delete the thread's file permanently; do nothing if it is absent."""
        await self._change("delete", thread_id, lambda: self._files.delete(thread_id))

    async def list_threads(self) -> list[str]:
        """Return the ids of the saved threads as a new list."""
        return [summary.id for summary in await self.summaries()]

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        """Update a thread's metadata; None removes a field. An absent thread is created."""
        await self._change("save", thread_id, lambda: self._files.update_meta(thread_id, fields))

    async def meta(self, thread_id: str) -> dict[str, Any]:
        """Return a thread's metadata as a new dict; empty if the thread is absent."""
        return await self._run("read", thread_id, lambda: self._files.meta(thread_id))

    async def summaries(self, limit: int | None = None) -> list[Summary]:
        """Return the saved threads, most recently changed first, at most `limit` of them.

        With a limit, only the most recently changed files are read.
        """
        with _wrap_os_errors("list the threads"):
            return newest_first(await asyncio.to_thread(self._files.summaries, limit))

    async def trash(self, thread_id: str) -> None:
        """Move the thread to the trash, replacing one with its id; do nothing if it is absent."""
        await self._change("trash", thread_id, lambda: self._trash.add(thread_id))

    async def restore(self, thread_id: str) -> None:
        """Restore a thread from the trash. Raises `StorageError` if that is not possible."""
        await self._change("restore", thread_id, lambda: self._trash.restore(thread_id))

    async def trashed(self) -> list[Summary]:
        """Return the threads in the trash, most recently trashed first."""
        with _wrap_os_errors("list the trash"):
            return await asyncio.to_thread(self._trash.summaries)

    async def empty_trash(self, older_than: timedelta = timedelta(0)) -> int:
        """Delete threads that were trashed at least `older_than` ago; return their number."""
        with _wrap_os_errors("empty the trash"):
            return await asyncio.to_thread(self._trash.empty, older_than)

    def reader(self) -> ThreadFolder:
        """Return a reader of the thread files; loads through it do not count as loads here.

        Blocking; for worker threads. Raises `StorageError` if the directory has another encoding.
        """
        self._files.prepare()
        return self._files.folder_at(".")

    def watch(self, changed: Callable[[], object]) -> None:
        """Call `changed` on the event loop after each change made by this storage."""
        self._watchers.append(changed)

    def unwatch(self, changed: Callable[[], object]) -> None:
        """Stop calling `changed`."""
        self._watchers.remove(changed)

    async def _change(self, action: str, thread_id: str, job: Callable[[], None]) -> None:
        try:
            await self._run(action, thread_id, job)
        finally:  # a failed change may have reached the disk
            for changed in tuple(self._watchers):
                try:
                    changed()
                except Exception:  # must not make a completed change look failed
                    _log.exception("A watcher of %s failed", self.directory)

    async def _run(self, action: str, thread_id: str, job: Callable[[], T]) -> T:
        with _wrap_os_errors(f"{action} thread {thread_id!r}"):
            return await self._executor.run(thread_id, job)


@contextmanager
def _wrap_os_errors(action: str) -> Iterator[None]:
    """Convert an OSError in the block to a `StorageError` that names the failed action."""
    try:
        yield
    except OSError as error:
        location = f" at {error.filename}" if error.filename else ""
        raise StorageError(
            f"Cannot {action}{location}: {error.strerror or error}. "
            "Check the disk and the permissions, then try again."
        ) from error
