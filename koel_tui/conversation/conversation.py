"""The controller of one open tab: its thread, its send queue and its run."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from time import monotonic
from typing import TYPE_CHECKING, Any

from koel_tui.conversation.activity import Activity, parse_event
from koel_tui.conversation.branches import Branch, BranchPoint, list_branches
from koel_tui.conversation.entries import Entry, EntryCache
from koel_tui.conversation.incomplete_answers import incomplete_reason
from koel_tui.conversation.metrics import ThreadMetrics
from koel_tui.conversation.observer import ConversationObserver
from koel_tui.conversation.send_queue import SendQueue
from koel_tui.conversation.thread_meta import ThreadMeta
from koel_tui.first_words import first_words
from koel_tui.formatting import cut_at_word
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.protocol import ChatState, Event, Message, TurnSettings
    from koel_tui.session import ChatSession, ThreadSettings

    StartRun = Callable[[ChatSession], Coroutine[Any, Any, None]]

NEW_TITLE = "New thread"
MAX_TITLE = 40
"""Maximum width in cells of a title made of the first words of a prompt."""


@dataclass(frozen=True, slots=True)
class MessageEdit:
    """A user message being edited, and the draft that it replaced in the prompt."""

    message_id: str
    draft: str


class Conversation:
    """The controller of one conversation: sends prompts one at a time and notifies its observer.

    It may exist before a backend does; prompts are queued until `attach`.
    """

    def __init__(
        self,
        key: str,
        observer: "ConversationObserver[Conversation]",
        title: str = "",
        unloaded_thread_id: str | None = None,
    ) -> None:
        """`unloaded_thread_id` is the id of a saved thread that is loaded lazily."""
        self.key = key
        self.draft = ""
        self.metrics = ThreadMetrics()
        self.queue = SendQueue()
        self.problem = ""
        self.message_edit: MessageEdit | None = None
        self.meta = ThreadMeta(title)
        self.read_only_reason = ""
        """The reason why the thread is read-only; empty if it is writable."""
        self._unloaded_thread_id = unloaded_thread_id
        self._observer = observer
        self._session: ChatSession | None = None
        self._backend: Backend | None = None
        self._run: asyncio.Task[None] | None = None
        self._cancelled_runs: set[asyncio.Task[None]] = set()
        self.last_run_at = float("-inf")
        """The start time of the last run, in seconds on a monotonic clock."""
        self._activity = Activity()
        self._subscriptions: list[asyncio.Task[None]] = []
        self._entry_cache = EntryCache()

    @property
    def thread_id(self) -> str | None:
        """The id of the thread in this tab; None before there is one."""
        return self._session.thread_id if self._session else self._unloaded_thread_id

    @property
    def is_unloaded(self) -> bool:
        """True if the saved thread of this tab is not loaded yet."""
        return self._session is None and self._unloaded_thread_id is not None

    @property
    def title(self) -> str:
        """The title of the thread, else the beginning of its first user message."""
        if self.meta.title:
            return self.meta.title
        prompts = (message.content for message in self.messages if message.role == "user")
        line = safe_line(first_words(next(filter(None, chain(prompts, self.queue)), "")))
        return cut_at_word(line, MAX_TITLE) or NEW_TITLE

    @property
    def is_busy(self) -> bool:
        """True if a run is in flight."""
        return self._run is not None

    @property
    def activity(self) -> Activity:
        """The activity of the run; idle without a run, even if late events arrive."""
        return self._activity if self.is_busy else Activity()

    @property
    def is_new(self) -> bool:
        """True if the conversation is new: no messages, no run and an empty queue."""
        return not (self.is_unloaded or self.is_busy or self.queue or self.entries())

    @property
    def has_failed(self) -> bool:
        """True if the last run ended in an error."""
        return self._session is not None and self._session.state.error is not None

    @property
    def hit_session_limit(self) -> bool:
        """True if the last run failed because all model contexts are in use."""
        error = self._session.state.error if self._session is not None else None
        return getattr(error, "agent_code", None) == "SessionLimitError"

    @property
    def engine_crash(self) -> str:
        """The error if the engine crashed in the last run, else empty; the next run restarts it."""
        error = self._session.state.error if self._session is not None else None
        crashed = getattr(error, "agent_code", None) == "EngineCrashedError"
        return error.message if error is not None and crashed else ""

    @property
    def has_answered(self) -> bool:
        """True if the model has completed an answer since the thread was opened."""
        return self.metrics.has_live_answer and not self.has_failed

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second of the current answer, else of the last one."""
        return self.metrics.decode_rate.per_s if self.is_busy else self.metrics.last.tokens_per_s

    @property
    def state(self) -> "ChatState | None":
        """The state of the thread; None before there is one."""
        return self._session.state if self._session is not None else None

    @property
    def is_unsaved(self) -> bool:
        """True if the thread has changes that are not saved yet."""
        return self._session is not None and self._session.dirty

    @property
    def save_problem(self) -> str:
        """The reason why the thread cannot be saved; empty if it can."""
        error = self._session.save_error if self._session else None
        return safe_line(str(error) or type(error).__name__) if error else ""

    def attach(self, session: "ChatSession", backend: "Backend") -> None:
        """Connect the session of this tab's thread, and send the first queued prompt."""
        self._session, self._backend = session, backend
        self.metrics.load_saved(session.state.messages)
        self.meta.apply_to(session, backend)
        self._subscriptions = [
            asyncio.create_task(self._watch_states(session.states())),
            asyncio.create_task(self._watch_events(session.events())),
        ]
        self._send_next()

    def rename(self, title: str) -> None:
        """Set the title; if empty, the title comes from the first user message."""
        self.meta.title = title

    async def configure(self, title: str, settings: "ThreadSettings | None") -> None:
        """Set the title and the settings from the next turn on, and save them.

        For a new thread they are saved with its first turn.
        """
        self.meta.update(title, settings)
        if self._session is not None and self._backend is not None:
            self.meta.apply_to(self._session, self._backend)
            if not self.is_new:
                await self._save_meta(self._session)
        self._observer.on_conversation_changed(self)

    def turn_settings(self) -> "TurnSettings | None":
        """Return the settings of the next turn; None before there is a backend."""
        backend = self._backend
        return None if backend is None else self.meta.turn_settings(backend.defaults)

    def forget_thread(self) -> None:
        """Become a new conversation, because the saved thread cannot be loaded."""
        self._unloaded_thread_id, self.meta = None, ThreadMeta()

    def ask(self, text: str) -> None:
        """Queue `text` and send it when the thread is idle; return it if it exceeds a limit."""
        if problem := self.queue.refusal_reason(text):
            self.problem = problem
            self._observer.on_text_returned(self, text)
        elif self._session is None or self.is_busy or self.queue:
            self.queue.add(text)
        elif not self._start_run(lambda session: session.send(text)):
            self._observer.on_text_returned(self, text)
        self._observer.on_conversation_changed(self)

    def stop(self) -> None:
        """Cancel the run, keep its partial answer, and return queued prompts to the user."""
        if self._session is not None and self._run is not None:
            self._session.cancel()
            # The cancelled run only waits for its save; the next action need not wait for it.
            self._cancelled_runs.add(self._run)
            self._run.add_done_callback(self._cancelled_runs.discard)
            self._run = None
        self._return_queued()
        self._observer.on_conversation_changed(self)

    def continue_answer(self) -> None:
        """Continue the incomplete answer at the end of the thread."""
        self._start_run_if(
            self._session is not None and bool(incomplete_reason(self._session.state.messages)),
            lambda session: session.continue_answer(),
            "The last answer is complete, so there is nothing to continue.",
        )

    def retry(self) -> None:
        """Repeat the failed turn; its partial answer stays as a branch."""
        self._start_run_if(
            self.has_failed,
            lambda session: session.regenerate(),
            "No answer failed, so there is nothing to retry.",
        )

    def regenerate(self) -> None:
        """Regenerate the last answer; the existing answer stays as a branch."""
        self._start_run_if(
            any(entry.role == "user" for entry in self.entries()),
            lambda session: session.regenerate(),
            "There is no message to answer yet. Send one first.",
        )

    def edit(self, message_id: str, text: str) -> bool:
        """Send `text` in place of a message; the old message and its answers stay as a branch.

        Return whether it was sent.
        """
        if self.is_busy:
            self.problem = "An answer is being written. Stop it, then send the edited message."
        sent = not self.is_busy and self._start_run(lambda session: session.edit(message_id, text))
        self._observer.on_conversation_changed(self)
        return sent

    @property
    def empty_branch(self) -> BranchPoint | None:
        """The fork at the end of the thread if the shown branch is empty, else None."""
        if self.is_busy:
            return None
        self.entries()
        return self._entry_cache.trailing_branch

    @property
    def branches(self) -> Sequence[Branch]:
        """Every branch at the forks of the shown messages."""
        return list(list_branches(self._session.state)) if self._session is not None else ()

    def switch(self, branch_point: BranchPoint, step: int) -> str:
        """Show the branch `step` positions further. Return the id of its first entry, or empty."""
        if self._session is None or self.is_busy:
            return ""
        try:
            self._session.switch(branch_point.after, step)
        except Exception as error:
            self.problem = str(error) or type(error).__name__
        self.metrics.load_saved(self._session.state.messages)
        self._observer.on_conversation_changed(self)
        starts = ((entry.branch_point, entry.id) for entry in self.entries())
        return next((id_ for at, id_ in starts if at and at.after == branch_point.after), "")

    async def branch(self, message_id: str) -> "ChatSession | None":
        """Return the session of a new thread up to this message; None before there is a session.

        Raises the errors of the storage.
        """
        return await self._session.branch(message_id) if self._session is not None else None

    def unqueue(self, text: str) -> bool:
        """Remove a text from the queue; return whether it was still queued."""
        was_queued = self.queue.remove(text)
        if was_queued:
            self._observer.on_conversation_changed(self)
        return was_queued

    async def close(self) -> None:
        """Dispose the session, which saves it. Nothing is deleted."""
        if self._session is not None:
            await self._session.dispose()
        await asyncio.gather(
            *self._subscriptions, *filter(None, [self._run]), *self._cancelled_runs
        )

    def entries(self) -> Sequence[Entry]:
        """Return the transcript entries, oldest first."""
        return () if self._session is None else self._entry_cache.entries(self._session.state)

    @property
    def last_answer(self) -> str:
        """The text of the newest answer, including one being generated; empty without one."""
        return next(
            (each.text for each in reversed(self.entries()) if each.role == "assistant"), ""
        )

    def toggle_folded(self) -> None:
        """Toggle whether thinking and tool calls are folded."""
        self._entry_cache.toggle_folded()
        self._observer.on_conversation_changed(self)

    @property
    def is_closed(self) -> bool:
        """True if the session is disposed."""
        return self._session is not None and self._session.disposed

    @property
    def needs_title(self) -> bool:
        """True if the first prompt is answered and the thread has no title."""
        if self.meta.title or not self.has_answered:
            return False
        prompts = (message for message in self.messages if message.role == "user")
        return len(list(islice(prompts, 2))) == 1

    @property
    def messages(self) -> "Sequence[Message]":
        """The messages of the thread, oldest first."""
        return self._session.state.messages if self._session is not None else ()

    async def _save_meta(self, session: "ChatSession") -> None:
        try:
            await self.meta.save(session)
        except Exception as error:
            self.problem = f"The settings of this thread could not be saved: {error}"

    def _send_next(self) -> None:
        if self._session is None or self._run is not None or not self.queue:
            return
        text = self.queue.pop()
        if not self._start_run(lambda session: session.send(text)):
            self.queue.push_front(text)  # the session refused it: return it to the user
            self._return_queued()

    def _start_run_if(self, possible: bool, start: "StartRun", refusal: str) -> None:
        """Start a run if possible, else set the problem; do nothing during a run."""
        if self.is_busy:
            return
        if possible:
            self._start_run(start)
        else:
            self.problem = refusal
        self._observer.on_conversation_changed(self)

    def _start_run(self, start: "StartRun") -> bool:
        """Start a run. If the session refuses, set the problem and return False."""
        if self._session is None:
            return False
        try:
            completion = start(self._session)
        except Exception as error:
            self.problem = str(error) or type(error).__name__
            return False
        self.last_run_at = monotonic()
        self._activity, self.problem = Activity("waiting"), ""
        self.metrics.start_answer()
        self._run = asyncio.create_task(self._await_run(completion))
        return True

    async def _await_run(self, completion: Coroutine[Any, Any, None]) -> None:
        try:
            if self._session is not None:
                await self._save_meta(self._session)  # before the run can be cancelled
            await completion
        finally:
            if self._run is asyncio.current_task():
                self._run = None
        crash = self.engine_crash if self.queue else ""
        if self.has_failed and not crash:
            self._return_queued()
        self._observer.on_run_ended(self)
        self._send_next()
        if crash and self.is_busy:  # the next run removes its notice
            self.problem = f"The previous answer failed. The queued message was sent. {crash}"
            self._observer.on_conversation_changed(self)

    def _return_queued(self) -> None:
        if text := self.queue.drain():
            self._observer.on_text_returned(self, text)

    async def _watch_states(self, states: "AsyncIterator[ChatState]") -> None:
        async for _ in states:
            self._observer.on_conversation_changed(self)

    async def _watch_events(self, events: "AsyncIterator[Event]") -> None:
        async for event in events:
            activity, measures = parse_event(event) or self._activity, self.metrics.on_event(event)
            # A token is announced by the state alone, which it also changes.
            if measures or activity != self._activity:
                self._activity = activity
                self._observer.on_conversation_changed(self)
