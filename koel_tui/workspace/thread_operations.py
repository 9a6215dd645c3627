"""What is done to saved threads from their list, whether a tab has them open or not."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from koel_tui.storage.interchange import ExportFormat, Thread, export_thread, file_name
from koel_tui.text import repair
from koel_tui.workspace.saved_threads import SavedThread, listed, saved_threads

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.conversation.conversation import Conversation
    from koel_tui.protocol import ChatState
    from koel_tui.storage.search.thread_index import ThreadIndex
    from koel_tui.workspace.workspace import Workspace


T = TypeVar("T")

PATIENCE = 5.0
"""Seconds in which a tab that was closed has to be saved before its thread can be deleted."""


class OpenThreadError(Exception):
    """A thread is open in a tab, and must not be while this is done."""

    def __init__(self, number: int) -> None:
        super().__init__(f"It is open in tab {number}. Close that tab first.")


class StillSavingError(Exception):
    """A thread is still being saved, and must not be while this is done."""

    def __init__(self) -> None:
        super().__init__("Its tab was closed and is still being saved. Try again in a moment.")


class ThreadOperations:
    """Lists, reads and changes the threads of a storage. Raises what the storage raises.

    A change that was begun is done to its end, whatever becomes of the list it was asked from.
    """

    def __init__(
        self,
        backend: "Backend",
        desk: "Workspace",
        changed: "Callable[[Conversation], None]",
        tell: Callable[[str], None],
    ) -> None:
        """Make the actions.

        `changed` is told of a tab whose title is another one, and `tell` why a change failed that
        nobody waits for any more.
        """
        self._backend = backend
        self._desk = desk
        self._changed = changed
        self._tell = tell
        self._deleted: list[SavedThread] = []
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def index(self) -> "ThreadIndex | None":
        """The full text of the threads, where it can be searched."""
        return self._backend.index

    @property
    def deleted(self) -> Sequence[SavedThread]:
        """What was deleted here and can be taken back, the last one last."""
        return self._deleted

    async def threads(self) -> list[SavedThread]:
        """Return the saved threads, newest first, with where they are open."""
        threads = await saved_threads(self._backend.storage)
        elsewhere: frozenset[str] = frozenset()
        # Only files can be open in another program.
        if held := getattr(self._backend.storage, "held_elsewhere", None):
            elsewhere = await held([thread.id for thread in threads if thread.takeable])
        here = {tab.thread_id for tab in self._desk.tabs}
        return [
            replace(thread, mark="open elsewhere")
            if thread.id in elsewhere
            else replace(thread, mark="open")
            if thread.takeable and thread.id in here
            else thread
            for thread in threads
        ]

    async def state_of(self, thread_id: str) -> "ChatState":
        """Return what is said in a thread, also what is not saved yet.

        The storage is not asked for a thread that has a session: it would take for seen there what
        another program wrote, and let the session write over it.
        """
        client = self._backend.client
        for session in (*client.sessions, *client.unsaved):
            if session.thread_id == thread_id:
                return session.state
        saved = await self._backend.storage.load(thread_id)
        if saved is None:
            raise LookupError("It cannot be read any more.")
        return saved

    async def rename(self, thread: SavedThread, title: str) -> None:
        """Give a thread another title, its tab too."""
        await self._whole(self._rename(thread, " ".join(repair(title).split())))

    async def delete(self, thread: SavedThread) -> None:
        """Throw a thread away. Raises `OpenThreadError` for one that a tab has open.

        Raises `StillSavingError` when the tab that had it open takes too long to end.
        """
        await self._whole(self._delete(thread))

    async def undo(self) -> SavedThread | None:
        """Take back what was deleted last; None when nothing was."""
        if not self._deleted:
            return None
        thread = self._deleted.pop()  # where that fails it is still in the trash
        await self.restore(thread)
        return thread

    async def trashed(self) -> list[SavedThread]:
        """Return what is in the trash, the one thrown away last first."""
        return listed(await self._backend.storage.trashed())

    async def restore(self, thread: SavedThread) -> None:
        """Take a thread back from the trash."""
        await self._whole(self._restore(thread))

    async def settle(self) -> None:
        """Wait until what was begun is done."""
        if self._under_way:
            await asyncio.wait(list(self._under_way))

    async def exported(self, thread: SavedThread, form: ExportFormat) -> tuple[str, str]:
        """Return a name for the file of a thread, and what is written there."""
        meta = await self._backend.storage.meta(thread.id)
        whole = Thread(thread.id, await self.state_of(thread.id), meta)
        text = await asyncio.to_thread(export_thread, whole, form)
        return file_name(whole.title, form.suffix), text

    async def _rename(self, thread: SavedThread, title: str) -> None:
        await self.state_of(thread.id)  # else one that is gone would be made anew, empty
        await self._backend.storage.update_meta(thread.id, title=title)
        for conversation in self._desk.tabs:
            if conversation.thread_id == thread.id:
                conversation.rename(title)
                self._changed(conversation)

    async def _delete(self, thread: SavedThread) -> None:
        # What a closed tab still saves must not bring it back.
        if not await self._desk.ended(thread.id, PATIENCE):
            raise StillSavingError
        for number, conversation in enumerate(self._desk.tabs, 1):
            if conversation.thread_id == thread.id:
                raise OpenThreadError(number)
        await self._backend.storage.trash(thread.id)
        self._backend.client.forget(thread.id)
        self._deleted.append(thread)
        self._desk.forget(thread.id)
        if self._backend.snapshots is not None:
            with suppress(OSError):  # it goes as others come
                await asyncio.to_thread(self._backend.snapshots.remove, thread.id)

    async def _restore(self, thread: SavedThread) -> None:
        await self._backend.storage.restore(thread.id)
        self._deleted = [each for each in self._deleted if each.id != thread.id]

    async def _whole(self, change: Coroutine[Any, Any, T]) -> T:
        """Make a change that goes on where nobody waits for it any more."""
        task = asyncio.create_task(change)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._tell_failure)
            raise

    def _tell_failure(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._tell(str(error) or type(error).__name__)
