"""The open conversations: opening, closing and reopening tabs, independent of the UI."""

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.drafts import join_texts
from koel_tui.conversation.observer import ConversationObserver
from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.conversation.thread_meta import ThreadMeta
from koel_tui.limits import MAX_TABS
from koel_tui.workspace.open_tabs import OpenTab, OpenTabs
from koel_tui.workspace.runtime import STILL_STARTING
from koel_tui.workspace.tab_order import TabOrder

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.protocol import ChatState

_MAX_CLOSED = 100
"""Closed tabs that can be reopened; older ones are only in the list of saved threads."""


class TooManyTabsError(Exception):
    """The maximum number of tabs is open."""

    def __init__(self) -> None:
        super().__init__(f"{MAX_TABS} tabs are open, the maximum. Close one first.")


@dataclass(frozen=True, slots=True)
class ClosedTab:
    """The data to reopen a closed tab: its thread, if it has one, and its draft."""

    thread_id: str | None
    title: str
    draft: str
    meta: ThreadMeta


class Workspace:
    """The owner of all conversations. Tabs can be opened and used before a backend is connected."""

    def __init__(self, observer: ConversationObserver[Conversation]) -> None:
        self._observer = observer
        self._backend: Backend | None = None
        self._keys = count(1)
        self._closed: list[ClosedTab] = []
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._loading: dict[Conversation, asyncio.Event] = {}
        self.tabs = TabOrder(self._create())

    @property
    def active(self) -> Conversation:
        """The conversation of the active tab."""
        return self.tabs.active

    @property
    def is_full(self) -> bool:
        """True if the maximum number of tabs is open."""
        return len(self.tabs) >= MAX_TABS

    def connect(self, backend: "Backend") -> None:
        """Attach a session to every open tab, except those whose thread is loaded lazily."""
        self._backend = backend
        for conversation in self.tabs:
            if not conversation.is_unloaded:
                conversation.attach(backend.client.new_session(), backend)

    def disconnect(self) -> None:
        """Stop attaching sessions to tabs, because the backend is being closed."""
        self._backend = None

    def restore(self, saved: OpenTabs, pastes: PastePlaceholders) -> None:
        """Open the tabs of the last run. Their threads are loaded lazily."""
        if not saved.tabs:
            return
        empty = self.active
        for tab in saved.tabs:
            conversation = self._create(tab.title, tab.thread_id)
            conversation.draft = pastes.import_draft(tab.draft)
            self.tabs.add(conversation)
        self.tabs.remove(empty)
        active = self.tabs.at(saved.active + 1)
        if active is not None:
            self.tabs.activate(active)

    def snapshot(self, pastes: PastePlaceholders) -> OpenTabs:
        """Return the tabs to persist; queued prompts become part of the draft."""
        saved = [each for each in self.tabs if not _is_empty(each)]
        tabs = tuple(_open_tab(each, pastes) for each in saved)
        active = saved.index(self.active) if self.active in saved else max(0, len(saved) - 1)
        return OpenTabs(tabs, active)

    async def load(self, conversation: Conversation) -> None:
        """Load the thread of a restored tab, unless it is loaded or being loaded.

        Raises the errors of `open`; the tab is then a new one that keeps its draft.
        """
        thread_id, backend = conversation.thread_id, self._backend
        if not conversation.is_unloaded or conversation in self._loading:
            return
        if thread_id is None or backend is None:
            return
        self._loading[conversation] = asyncio.Event()
        try:
            await self._attach_saved(conversation, thread_id, backend)
        except Exception:
            conversation.forget_thread()
            conversation.attach(backend.client.new_session(), backend)
            raise
        finally:
            self._loading.pop(conversation).set()

    def least_recently_used(self) -> Conversation | None:
        """Return the least recently used tab that has been answered at least once.

        Visible tabs and tabs with a run are excluded.
        """
        visible = (self.active, self.tabs.paired)
        candidates = [
            each
            for each in self.tabs
            if each.has_answered and not each.is_busy and each not in visible
        ]
        return min(candidates, key=lambda each: each.last_run_at, default=None)

    def meta(self, thread_id: str) -> ThreadMeta:
        """Return the metadata of a thread in an open or closed tab; empty for any other thread."""
        open_metas = (each.meta for each in self.tabs if each.thread_id == thread_id)
        closed = (each.meta for each in self._closed if each.thread_id == thread_id)
        return next(open_metas, None) or next(closed, None) or ThreadMeta()

    def close_if_empty(self, conversation: Conversation) -> None:
        """Close a tab if it is empty."""
        if _is_empty(conversation) and conversation in self.tabs:
            self.close(conversation)

    def new(self) -> None:
        """Open an empty tab, unless the active tab is empty.

        All methods that open a tab for the user raise `TooManyTabsError` at the limit.
        """
        if not _is_empty(self.active):
            self._check_limit()
            self._add(self._create())

    def add_new(self, meta: ThreadMeta) -> Conversation:
        """Open an empty tab whose thread has this metadata, and return its conversation."""
        conversation = self._create()
        conversation.meta = meta
        self._add(conversation)
        return conversation

    def add_paired(self) -> None:
        """Open an empty tab side by side with the active one, with the same settings."""
        self._check_limit()
        active = self.active
        paired = self.add_new(active.meta.copy(""))
        self.tabs.activate(active)
        self.tabs.pair_with(paired)

    async def open(self, thread_id: str, title: str = "") -> None:
        """Activate the tab of a saved thread, and open it if necessary.

        Raises the errors of the storage for an unreadable thread, `LookupError` for a missing
        one.
        """
        for conversation in self.tabs:
            if conversation.thread_id == thread_id:
                self.tabs.activate(conversation)
                return
        if self._backend is None:
            raise RuntimeError(STILL_STARTING)
        if thread_id in self._closing:
            await asyncio.wait([self._closing[thread_id]])
        if not _is_empty(self.active):  # else the new tab replaces the empty one
            self._check_limit()
        conversation = self._create(title)
        await self._attach_saved(conversation, thread_id, self._backend)
        before = self.active
        self.tabs.add(conversation)
        if _is_empty(before):
            self._remove(before)

    async def branch(self, message_id: str) -> None:
        """Open a tab with a new thread that copies the active one up to this message.

        Raises the errors of the storage.
        """
        parent = self.active
        self._check_limit()
        session = await parent.branch(message_id)
        backend = self._backend
        if session is None or backend is None:
            return
        conversation = self._create()
        conversation.meta = parent.meta.copy(f"{parent.title} (branch)")
        try:
            await conversation.meta.save(session)
        except BaseException:
            session.dispose()
            raise
        conversation.attach(session, backend)
        self.tabs.add(conversation)

    def close(self, conversation: Conversation) -> None:
        """Close a tab. Its thread stays saved, and `reopen` restores the tab."""
        if not _is_empty(conversation):
            thread_id = _saved_thread_id(conversation)
            self._closed.append(
                ClosedTab(
                    thread_id, conversation.title, _typed_text(conversation), conversation.meta
                )
            )
            del self._closed[:-_MAX_CLOSED]
        if len(self.tabs) == 1:
            self._add(self._create())
        self._remove(conversation)

    async def reopen(self) -> bool:
        """Reopen the last closed tab; return False if there is none."""
        if not self._closed:
            return False
        self._check_limit()
        closed = self._closed.pop()
        if closed.thread_id is None:
            self.add_new(closed.meta)
        else:
            try:
                await self.open(closed.thread_id, closed.title)
            except LookupError:  # the thread is gone, but the draft is not
                self.new()
                self._observer.on_text_returned(self.active, closed.draft)
                raise
            except Exception:
                self._closed.append(closed)
                raise
        self._observer.on_text_returned(self.active, closed.draft)
        return True

    def forget_closed(self, thread_id: str) -> None:
        """Forget the closed tabs of this thread, because it was deleted."""
        self._closed = [closed for closed in self._closed if closed.thread_id != thread_id]

    async def wait_closed(self, thread_id: str, within: float) -> bool:
        """Wait up to `within` seconds for a closed tab's session; return whether it ended."""
        ending = self._closing.get(thread_id)
        return ending is None or bool((await asyncio.wait([ending], timeout=within))[0])

    async def wait_until_closed(self) -> None:
        """Wait until the sessions of all closed tabs have ended."""
        if self._closing:
            await asyncio.wait(list(self._closing.values()))

    async def _attach_saved(
        self, conversation: Conversation, thread_id: str, backend: "Backend"
    ) -> None:
        """Attach the session of a saved thread to a conversation."""
        saved = await self._load_state(thread_id, backend)
        conversation.meta.load(await backend.storage.meta(thread_id))
        session = backend.client.new_session(thread_id, saved)
        try:
            access = await session.hold()
        except BaseException:
            session.dispose()
            raise
        conversation.read_only_reason = access.reason if access is not None else ""
        conversation.attach(session, backend)

    async def _load_state(self, thread_id: str, backend: "Backend") -> "ChatState":
        # A state that could not be saved when its tab was closed exists only in RAM.
        unsaved = backend.client.unsaved_state(thread_id)
        if unsaved is not None:
            return unsaved
        saved = await backend.storage.load(thread_id)
        if saved is None:
            raise LookupError("it no longer exists.")
        return saved

    def _create(self, title: str = "", unloaded_thread_id: str | None = None) -> Conversation:
        return Conversation(f"tab-{next(self._keys)}", self._observer, title, unloaded_thread_id)

    def _check_limit(self) -> None:
        if self.is_full:
            raise TooManyTabsError

    def _add(self, conversation: Conversation) -> None:
        if self._backend is not None:
            conversation.attach(self._backend.client.new_session(), self._backend)
        self.tabs.add(conversation)

    def _remove(self, conversation: Conversation) -> None:
        self.tabs.remove(conversation)
        key = conversation.thread_id or conversation.key
        task = asyncio.create_task(self._close_session(conversation))
        self._closing[key] = task
        task.add_done_callback(lambda _: self._closing.pop(key, None))

    async def _close_session(self, conversation: Conversation) -> None:
        if conversation in self._loading:
            await self._loading[conversation].wait()
        await conversation.close()
        if conversation.is_unsaved:
            self._observer.on_save_failed(conversation)


def _is_empty(conversation: Conversation) -> bool:
    is_unused = conversation.is_new and not conversation.draft.strip()
    return is_unused and conversation.meta.is_empty


def _open_tab(conversation: Conversation, pastes: PastePlaceholders) -> OpenTab:
    thread_id = _saved_thread_id(conversation)
    draft = pastes.draft(_unsent_text(conversation, pastes))
    return OpenTab(thread_id, conversation.title if thread_id else "", draft)


def _saved_thread_id(conversation: Conversation) -> str | None:
    saved = conversation.is_unloaded or conversation.entries()
    return conversation.thread_id if saved else None


def _unsent_text(conversation: Conversation, pastes: PastePlaceholders) -> str:
    return join_texts(*map(pastes.collapse, conversation.queue), _typed_text(conversation))


def _typed_text(conversation: Conversation) -> str:
    saved = conversation.message_edit.draft if conversation.message_edit is not None else ""
    return join_texts(saved, conversation.draft)
