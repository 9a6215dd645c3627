"""Operations on saved threads, whether they are open in a tab or not."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from koel_tui.storage.interchange import ExportFormat, Thread, export_thread, file_name
from koel_tui.text import repair
from koel_tui.workspace.saved_threads import SavedThread, saved_threads, to_rows

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.conversation.conversation import Conversation
    from koel_tui.protocol import ChatState
    from koel_tui.storage.search.thread_index import ThreadIndex
    from koel_tui.workspace.workspace import Workspace


T = TypeVar("T")

CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the save of a closed tab before its thread can be deleted."""


class OpenThreadError(Exception):
    """The operation is not allowed while the thread is open in a tab."""

    def __init__(self, number: int) -> None:
        super().__init__(f"The thread is open in tab {number}. Close that tab first.")


class StillSavingError(Exception):
    """The operation is not allowed while the thread is being saved."""

    def __init__(self) -> None:
        super().__init__("The thread is still being saved. Try again in a moment.")


class ThreadOperations:
    """Operations that list, read and change the threads of a storage. Raise the storage's errors.

    A change always runs to completion, even if its caller is cancelled.
    """

    def __init__(
        self,
        backend: "Backend",
        workspace: "Workspace",
        on_renamed: "Callable[[Conversation], None]",
        on_error: Callable[[str], None],
    ) -> None:
        """`on_renamed` is called with a tab whose title has changed.

        `on_error` is called with the error of a failed change whose caller was cancelled.
        """
        self._backend = backend
        self._workspace = workspace
        self._on_renamed = on_renamed
        self._on_error = on_error
        self._deleted: list[SavedThread] = []
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def index(self) -> "ThreadIndex | None":
        """The full text index of the threads; None if there is none."""
        return self._backend.index

    @property
    def deleted_threads(self) -> Sequence[SavedThread]:
        """The deleted threads that can be restored, last deleted last."""
        return self._deleted

    async def list_threads(self) -> list[SavedThread]:
        """Return the saved threads, newest first, marked if open here or elsewhere."""
        threads = await saved_threads(self._backend.storage)
        elsewhere: frozenset[str] = frozenset()
        # Only a file storage can share threads with another program.
        if held := getattr(self._backend.storage, "held_elsewhere", None):
            elsewhere = await held([thread.id for thread in threads if thread.enabled])
        here = {tab.thread_id for tab in self._workspace.tabs}

        def mark(thread: SavedThread) -> SavedThread:
            if thread.id in elsewhere:
                return replace(thread, open_state="open elsewhere")
            if thread.enabled and thread.id in here:
                return replace(thread, open_state="open")
            return thread

        return [mark(thread) for thread in threads]

    async def load_state(self, thread_id: str) -> "ChatState":
        """Return the state of a thread, including unsaved changes.

        A thread with a session is not loaded from storage: the load would mark changes of another
        program as seen, and the session would then overwrite them.
        """
        client = self._backend.client
        for session in (*client.sessions, *client.unsaved):
            if session.thread_id == thread_id:
                return session.state
        saved = await self._backend.storage.load(thread_id)
        if saved is None:
            raise LookupError("The thread can no longer be read. Delete it, or restore a backup.")
        return saved

    async def rename(self, thread: SavedThread, title: str) -> None:
        """Set the title of a thread and of its tab."""
        await self._run_to_completion(self._rename(thread, " ".join(repair(title).split())))

    async def delete(self, thread: SavedThread) -> None:
        """Move a thread to the trash. Raises `OpenThreadError` if a tab has it open.

        Raises `StillSavingError` if its closed tab is not saved in time.
        """
        await self._run_to_completion(self._delete(thread))

    async def undo_delete(self) -> SavedThread | None:
        """Restore the last deleted thread; return None if there is none."""
        if not self._deleted:
            return None
        thread = self._deleted.pop()  # if this fails, the thread is still in the trash
        await self.restore(thread)
        return thread

    async def list_trash(self) -> list[SavedThread]:
        """Return the threads in the trash, last deleted first."""
        return to_rows(await self._backend.storage.trashed())

    async def restore(self, thread: SavedThread) -> None:
        """Restore a thread from the trash."""
        await self._run_to_completion(self._restore(thread))

    async def wait_until_done(self) -> None:
        """Wait until all running changes are complete."""
        if self._running:
            await asyncio.wait(list(self._running))

    async def export(self, thread: SavedThread, form: ExportFormat) -> tuple[str, str]:
        """Return a file name for the exported thread, and its content."""
        meta = await self._backend.storage.meta(thread.id)
        whole = Thread(thread.id, await self.load_state(thread.id), meta)
        text = await asyncio.to_thread(export_thread, whole, form)
        return file_name(whole.title, form.suffix), text

    async def _rename(self, thread: SavedThread, title: str) -> None:
        await self.load_state(thread.id)  # raises if it is gone; the update would recreate it
        await self._backend.storage.update_meta(thread.id, title=title)
        for conversation in self._workspace.tabs:
            if conversation.thread_id == thread.id:
                conversation.rename(title)
                self._on_renamed(conversation)

    async def _delete(self, thread: SavedThread) -> None:
        # A pending save of a closed tab must not recreate the thread.
        if not await self._workspace.wait_closed(thread.id, CLOSE_TIMEOUT):
            raise StillSavingError
        for number, conversation in enumerate(self._workspace.tabs, 1):
            if conversation.thread_id == thread.id:
                raise OpenThreadError(number)
        await self._backend.storage.trash(thread.id)
        self._backend.client.forget(thread.id)
        self._deleted.append(thread)
        self._workspace.forget_closed(thread.id)
        if self._backend.snapshots is not None:
            with suppress(OSError):  # old snapshots are evicted anyway
                await asyncio.to_thread(self._backend.snapshots.remove, thread.id)

    async def _restore(self, thread: SavedThread) -> None:
        await self._backend.storage.restore(thread.id)
        self._deleted = [each for each in self._deleted if each.id != thread.id]

    async def _run_to_completion(self, change: Coroutine[Any, Any, T]) -> T:
        """Run a change to completion, even if the caller is cancelled."""
        task = asyncio.create_task(change)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._report_failure)
            raise

    def _report_failure(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(str(error) or type(error).__name__)
