"""The open conversations: opening, closing and reopening tabs, whatever they look like."""

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from koel_tui.ui.conversation import Conversation, Listener
from koel_tui.ui.workspace import Workspace

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState
    from koel_tui.ui.backend import Backend


@dataclass(frozen=True, slots=True)
class Closed:
    """What brings a closed tab back: its thread if it has one, and what was typed there."""

    thread_id: str | None
    title: str
    draft: str


class Desk:
    """Owns the conversations. Tabs may be opened and used before a backend is there."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._backend: Backend | None = None
        self._keys = count(1)
        self._closed: list[Closed] = []
        self._closing: dict[str, asyncio.Task[None]] = {}
        self.tabs = Workspace(self._conversation())

    @property
    def active(self) -> Conversation:
        """The conversation in front."""
        return self.tabs.active

    def connect(self, backend: "Backend") -> None:
        """Give every open tab a session."""
        self._backend = backend
        for conversation in self.tabs:
            conversation.attach(backend.client.new_session())

    def new(self) -> None:
        """Open an empty tab; one that is in front and empty serves as well."""
        if not _is_empty(self.active):
            self._add(self._conversation())

    async def open(self, thread_id: str, title: str = "") -> None:
        """Bring the tab of a saved thread to the front, opening it if need be.

        Raises what storage raises for a thread that cannot be read, `LookupError` for one that
        is not there.
        """
        for conversation in self.tabs:
            if conversation.thread_id == thread_id:
                self.tabs.activate(conversation)
                return
        if self._backend is None:
            raise RuntimeError("threads open after the start")
        if thread_id in self._closing:
            await asyncio.wait([self._closing[thread_id]])
        saved = await self._state_of(thread_id, self._backend)
        conversation = self._conversation(title)
        session = self._backend.client.new_session(thread_id, saved)
        try:
            access = await session.hold()
        except BaseException:
            session.dispose()
            raise
        conversation.read_only = access.reason if access is not None else ""
        conversation.attach(session)
        before = self.active
        self.tabs.add(conversation)
        if _is_empty(before):
            self._take_out(before)

    def close(self, conversation: Conversation) -> None:
        """Close a tab. Its thread stays saved, and `reopen` brings it back."""
        if not _is_empty(conversation):
            thread_id = conversation.thread_id if conversation.entries() else None
            self._closed.append(Closed(thread_id, conversation.title, conversation.draft))
        if len(self.tabs) == 1:
            self._add(self._conversation())
        self._take_out(conversation)

    async def reopen(self) -> bool:
        """Bring back the tab closed last; False when none was."""
        if not self._closed:
            return False
        closed = self._closed[-1]
        if closed.thread_id is None:
            self.new()
        else:
            await self.open(closed.thread_id, closed.title)
        self._closed.pop()
        self._listener.returned(self.active, closed.draft)
        return True

    async def settle(self) -> None:
        """Wait until the sessions of closed tabs have ended."""
        if self._closing:
            await asyncio.wait(list(self._closing.values()))

    async def _state_of(self, thread_id: str, backend: "Backend") -> "ChatState":
        # What could not be saved when its tab was closed is nowhere but here.
        for session in backend.client.unsaved:
            if session.thread_id == thread_id:
                return session.state
        saved = await backend.storage.load(thread_id)
        if saved is None:
            raise LookupError("it is not there any more.")
        return saved

    def _conversation(self, title: str = "") -> Conversation:
        return Conversation(f"tab-{next(self._keys)}", self._listener, title)

    def _add(self, conversation: Conversation) -> None:
        if self._backend is not None:
            conversation.attach(self._backend.client.new_session())
        self.tabs.add(conversation)

    def _take_out(self, conversation: Conversation) -> None:
        self.tabs.remove(conversation)
        key = conversation.thread_id or conversation.key
        task = asyncio.create_task(self._end(conversation))
        self._closing[key] = task
        task.add_done_callback(lambda _: self._closing.pop(key, None))

    async def _end(self, conversation: Conversation) -> None:
        await conversation.close()
        if conversation.unsaved:
            self._listener.lost(conversation)


def _is_empty(conversation: Conversation) -> bool:
    return conversation.untouched and not conversation.draft.strip()
