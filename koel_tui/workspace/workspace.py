"""The open conversations: opening, closing and reopening tabs, whatever they look like."""

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.drafts import PastePlaceholders, joined
from koel_tui.conversation.observer import ConversationObserver
from koel_tui.conversation.thread_meta import ThreadMeta
from koel_tui.limits import TABS
from koel_tui.workspace.open_tabs import OpenTab, OpenTabs
from koel_tui.workspace.tab_order import TabOrder

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.protocol import ChatState

_MOST_CLOSED = 100
"""Closed tabs that can be brought back; the threads of others are in the list of threads."""


class TooManyTabsError(Exception):
    """As many tabs are open as there may be."""

    def __init__(self) -> None:
        super().__init__(f"{TABS} tabs are open, which is the most. Close one first.")


@dataclass(frozen=True, slots=True)
class ClosedTab:
    """What brings a closed tab back: its thread if it has one, and what was typed there."""

    thread_id: str | None
    title: str
    draft: str
    about: ThreadMeta


class Workspace:
    """Owns the conversations. Tabs may be opened and used before a backend is there."""

    def __init__(self, listener: ConversationObserver[Conversation]) -> None:
        self._listener = listener
        self._backend: Backend | None = None
        self._keys = count(1)
        self._closed: list[ClosedTab] = []
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._waking: dict[Conversation, asyncio.Event] = {}
        self.tabs = TabOrder(self._conversation())

    @property
    def active(self) -> Conversation:
        """The conversation in front."""
        return self.tabs.active

    @property
    def full(self) -> bool:
        """Whether as many tabs are open as there may be."""
        return len(self.tabs) >= TABS

    def connect(self, backend: "Backend") -> None:
        """Give a session to every open tab but those whose thread is read when they are shown."""
        self._backend = backend
        for conversation in self.tabs:
            if not conversation.asleep:
                conversation.attach(backend.client.new_session(), backend)

    def disconnect(self) -> None:
        """Give no tab a session any more: what they come from is being closed."""
        self._backend = None

    def restore(self, kept: OpenTabs, pastes: PastePlaceholders) -> None:
        """Open the tabs of the window before this one. No thread is read yet."""
        if not kept.tabs:
            return
        empty = self.active
        for tab in kept.tabs:
            conversation = self._conversation(tab.title, tab.thread_id)
            conversation.draft = pastes.adopt(tab.draft)
            self.tabs.add(conversation)
        self.tabs.remove(empty)
        in_front = self.tabs.at(kept.active + 1)
        if in_front is not None:
            self.tabs.activate(in_front)

    def kept(self, pastes: PastePlaceholders) -> OpenTabs:
        """Return what is to be kept of the tabs; what waits to be sent is part of the draft."""
        kept = [each for each in self.tabs if not _is_empty(each)]
        tabs = tuple(
            OpenTab(thread_id, each.title if thread_id else "", pastes.draft(_unsent(each, pastes)))
            for each in kept
            for thread_id in (_saved_thread(each),)
        )
        in_front = kept.index(self.active) if self.active in kept else max(0, len(kept) - 1)
        return OpenTabs(tabs, in_front)

    async def wake(self, conversation: Conversation) -> None:
        """Read the thread of a tab that was restored, unless that is done or under way.

        Raises what `open` raises; then the tab is a new one, with the draft that was in it.
        """
        thread_id, backend = conversation.thread_id, self._backend
        if not conversation.asleep or conversation in self._waking:
            return
        if thread_id is None or backend is None:
            return
        self._waking[conversation] = asyncio.Event()
        try:
            await self._fill(conversation, thread_id, backend)
        except Exception:
            conversation.forget_thread()
            conversation.attach(backend.client.new_session(), backend)
            raise
        finally:
            self._waking.pop(conversation).set()

    def unused_longest(self) -> Conversation | None:
        """Return the open tab whose thread has not been answered for longest, but once it was.

        Neither the one in front nor one that is being answered.
        """
        others = [each for each in self.tabs if each.answered and not each.busy]
        others = [each for each in others if each not in (self.active, self.tabs.beside)]
        return min(others, key=lambda each: each.asked_at, default=None)

    def about(self, thread_id: str) -> ThreadMeta:
        """Return what is known about a thread that is or was open here, empty of another."""
        here = (each.about for each in self.tabs if each.thread_id == thread_id)
        closed = (each.about for each in self._closed if each.thread_id == thread_id)
        return next(here, None) or next(closed, None) or ThreadMeta()

    def sweep(self, conversation: Conversation) -> None:
        """Close a tab in which there is nothing."""
        if _is_empty(conversation) and conversation in list(self.tabs):
            self.close(conversation)

    def new(self) -> None:
        """Open an empty tab; one that is in front and empty serves as well.

        This and all else that a user opens tabs with raises `TooManyTabsError`.
        """
        if not _is_empty(self.active):
            self._check_room()
            self._add(self._conversation())

    def add_new(self, about: ThreadMeta) -> Conversation:
        """Open an empty tab with a thread about which this is known, and return it."""
        conversation = self._conversation()
        conversation.about = about
        self._add(conversation)
        return conversation

    def add_beside(self) -> None:
        """Open an empty tab beside the one in front, answered as that one is."""
        self._check_room()
        front = self.active
        beside = self.add_new(front.about.copy(""))
        self.tabs.activate(front)
        self.tabs.join(beside)

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
        if not _is_empty(self.active):  # else it takes its place
            self._check_room()
        conversation = self._conversation(title)
        await self._fill(conversation, thread_id, self._backend)
        before = self.active
        self.tabs.add(conversation)
        if _is_empty(before):
            self._take_out(before)

    async def branch(self, message_id: str) -> None:
        """Open a tab with a new thread, as the one in front is up to this message.

        Raises what the storage raises.
        """
        parent = self.active
        self._check_room()
        session, backend = await parent.branch(message_id), self._backend
        if session is None or backend is None:
            return
        conversation = self._conversation()
        conversation.about = parent.about.copy(f"{parent.title} (branch)")
        try:
            await conversation.about.save(session)
        except BaseException:
            session.dispose()
            raise
        conversation.attach(session, backend)
        self.tabs.add(conversation)

    def close(self, conversation: Conversation) -> None:
        """Close a tab. Its thread stays saved, and `reopen` brings it back."""
        if not _is_empty(conversation):
            thread_id = _saved_thread(conversation)
            self._closed.append(
                ClosedTab(thread_id, conversation.title, _typed(conversation), conversation.about)
            )
            del self._closed[:-_MOST_CLOSED]
        if len(self.tabs) == 1:
            self._add(self._conversation())
        self._take_out(conversation)

    async def reopen(self) -> bool:
        """Bring back the tab closed last; False when none was."""
        if not self._closed:
            return False
        self._check_room()
        closed = self._closed.pop()
        if closed.thread_id is None:
            self.add_new(closed.about)
        else:
            try:
                await self.open(closed.thread_id, closed.title)
            except LookupError:  # it is gone for good, what was typed is not
                self.new()
                self._listener.returned(self.active, closed.draft)
                raise
            except Exception:
                self._closed.append(closed)
                raise
        self._listener.returned(self.active, closed.draft)
        return True

    def forget(self, thread_id: str) -> None:
        """Bring back no tab of this thread: it is thrown away."""
        self._closed = [closed for closed in self._closed if closed.thread_id != thread_id]

    async def ended(self, thread_id: str, within: float) -> bool:
        """Wait for the session of a closed tab of this thread; say whether it has ended in time."""
        ending = self._closing.get(thread_id)
        return ending is None or bool((await asyncio.wait([ending], timeout=within))[0])

    async def settle(self) -> None:
        """Wait until the sessions of closed tabs have ended."""
        if self._closing:
            await asyncio.wait(list(self._closing.values()))

    async def _fill(self, conversation: Conversation, thread_id: str, backend: "Backend") -> None:
        """Give a conversation the session of a saved thread."""
        saved = await self._state_of(thread_id, backend)
        conversation.about.read(await backend.storage.meta(thread_id))
        session = backend.client.new_session(thread_id, saved)
        try:
            access = await session.hold()
        except BaseException:
            session.dispose()
            raise
        conversation.read_only = access.reason if access is not None else ""
        conversation.attach(session, backend)

    async def _state_of(self, thread_id: str, backend: "Backend") -> "ChatState":
        # What could not be saved when its tab was closed is nowhere but here.
        unsaved = backend.client.unsaved_state(thread_id)
        if unsaved is not None:
            return unsaved
        saved = await backend.storage.load(thread_id)
        if saved is None:
            raise LookupError("it is not there any more.")
        return saved

    def _conversation(self, title: str = "", asleep: str | None = None) -> Conversation:
        return Conversation(f"tab-{next(self._keys)}", self._listener, title, asleep)

    def _check_room(self) -> None:
        if self.full:
            raise TooManyTabsError

    def _add(self, conversation: Conversation) -> None:
        if self._backend is not None:
            conversation.attach(self._backend.client.new_session(), self._backend)
        self.tabs.add(conversation)

    def _take_out(self, conversation: Conversation) -> None:
        self.tabs.remove(conversation)
        key = conversation.thread_id or conversation.key
        task = asyncio.create_task(self._end(conversation))
        self._closing[key] = task
        task.add_done_callback(lambda _: self._closing.pop(key, None))

    async def _end(self, conversation: Conversation) -> None:
        if conversation in self._waking:
            await self._waking[conversation].wait()
        await conversation.close()
        if conversation.unsaved:
            self._listener.lost(conversation)


def _is_empty(conversation: Conversation) -> bool:
    nothing_said = conversation.untouched and not conversation.draft.strip()
    return nothing_said and conversation.about.is_empty


def _saved_thread(conversation: Conversation) -> str | None:
    saved = conversation.asleep or conversation.entries()
    return conversation.thread_id if saved else None


def _unsent(conversation: Conversation, pastes: PastePlaceholders) -> str:
    return joined(*map(pastes.collapse, conversation.queue), _typed(conversation))


def _typed(conversation: Conversation) -> str:
    kept = conversation.revision.draft if conversation.revision is not None else ""
    return joined(kept, conversation.draft)
