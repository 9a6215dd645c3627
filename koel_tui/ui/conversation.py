"""One open tab: its thread, what waits to be sent, and where its run stands."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from koel_tui.text import safe_line
from koel_tui.ui.about import About
from koel_tui.ui.activity import Activity, activity_after
from koel_tui.ui.entries import Branching, Entry, Place, Row, Spot
from koel_tui.ui.footnotes import ended_within, rows_of
from koel_tui.ui.listener import Listener
from koel_tui.ui.listing import Listing
from koel_tui.ui.measured import Measured
from koel_tui.ui.send_queue import SendQueue

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState, Event, Message, TurnSettings
    from koel_tui.session import ChatSession, ThreadSettings
    from koel_tui.ui.backend import Backend
    from koel_tui.ui.branches import Branch

    Asking = Callable[[ChatSession], Coroutine[Any, Any, None]]

NEW_TITLE = "New thread"
_TITLE_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Revision:
    """A message of the user's that is being edited, and the draft it keeps from the prompt."""

    message_id: str
    draft: str


class Conversation:
    """Sends what the user asks, one run after the other, and tells what comes of it.

    It exists before there is anything to talk to: what is asked then waits until `attach`.
    """

    def __init__(
        self, key: str, listener: Listener, title: str = "", asleep: str | None = None
    ) -> None:
        """Make the conversation; `asleep` is its saved thread, when that is to be read later."""
        self.key = key
        self.draft = ""
        self.place: Place | Spot | None = None
        self.measured = Measured()
        self.queue = SendQueue()
        self.problem = ""
        self.revision: Revision | None = None
        self.about = About(title)
        self.read_only = ""
        """Why the thread can only be read here; empty when it can go on."""
        self._asleep = asleep
        self._listener = listener
        self._session: ChatSession | None = None
        self._backend: Backend | None = None
        self._run: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self.asked_at = float("-inf")
        """When the last run began, on a monotonic clock."""
        self._activity = Activity()
        self._readers: list[asyncio.Task[None]] = []
        self._listing = Listing()

    @property
    def thread_id(self) -> str | None:
        """The thread in this tab; None before there is one."""
        return self._session.thread_id if self._session else self._asleep

    @property
    def asleep(self) -> bool:
        """Whether there is a saved thread that nobody looked at yet: it costs nothing so far."""
        return self._session is None and self._asleep is not None

    @property
    def title(self) -> str:
        """The title given to the thread, else the first words the user said in it."""
        if self.about.title:
            return self.about.title
        asked = next((entry.text for entry in self.entries() if entry.role == "user"), "")
        return safe_line(asked or next(iter(self.queue), ""), _TITLE_LENGTH) or NEW_TITLE

    @property
    def busy(self) -> bool:
        """Whether a run is in flight."""
        return self._run is not None

    @property
    def activity(self) -> Activity:
        """Where the run stands; idle without one, whatever its last events say late."""
        return self._activity if self.busy else Activity()

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever asked here."""
        return not (self.asleep or self.busy or self.queue or self.entries())

    @property
    def failed(self) -> bool:
        """Whether the last run ended with an error."""
        return self._session is not None and self._session.state.error is not None

    @property
    def at_cap(self) -> bool:
        """Whether the last run failed because too many threads have a context of the model."""
        error = self._session.state.error if self._session is not None else None
        return getattr(error, "agent_code", None) == "SessionLimitError"

    @property
    def broken_off(self) -> str:
        """How the engine ended over the last run, if it did: the next has a fresh one."""
        error = self._session.state.error if self._session is not None else None
        crashed = getattr(error, "agent_code", None) == "EngineCrashedError"
        return error.message if error is not None and crashed else ""

    @property
    def answered(self) -> bool:
        """Whether the model has finished an answer here."""
        return self.measured.now and not self.failed

    @property
    def tokens_per_s(self) -> float:
        """How fast the answer comes, or came."""
        return self.measured.pace.per_s if self.busy else self.measured.last.tokens_per_s

    @property
    def notice(self) -> str:
        """What is wrong for all conversations alike; empty when nothing is."""
        return self._listener.notice()

    @property
    def fitting_template(self) -> str:
        """The built-in chat template that fits the model; empty where that is not known."""
        return "" if self.about.wants_model else self._listener.fitting_template()

    @property
    def unsaved(self) -> bool:
        """Whether something here is not on the disk yet."""
        return self._session is not None and self._session.dirty

    @property
    def save_problem(self) -> str:
        """Why the thread cannot be saved; empty when it can."""
        error = self._session.save_error if self._session else None
        return safe_line(str(error) or type(error).__name__) if error else ""

    def attach(self, session: "ChatSession", backend: "Backend") -> None:
        """Take the session of this tab's thread, and send what already waits."""
        self._session, self._backend = session, backend
        self.measured.recall(session.state.messages)
        self.about.set_up(session, backend)
        self._readers = [
            asyncio.create_task(self._read_states(session.states())),
            asyncio.create_task(self._read_events(session.events())),
        ]
        self._send_next()

    def rename(self, title: str) -> None:
        """Show another title; without one the first words are the title."""
        self.about.title = title

    async def configure(self, title: str, settings: "ThreadSettings | None") -> None:
        """Take another title and other settings, from the next turn on, and save them.

        Of a thread in which nothing was said they are saved when something is.
        """
        self.about.change(title, settings)
        if self._session is not None and self._backend is not None:
            self.about.set_up(self._session, self._backend)
            if not self.untouched:
                await self._save_about(self._session)
        self._listener.changed(self)

    def turn_settings(self) -> "TurnSettings | None":
        """Return the settings of the next run here; None before there is a backend."""
        backend = self._backend
        return None if backend is None else self.about.turn_settings(backend.defaults)

    def forget_thread(self) -> None:
        """Be a new conversation: the saved thread is not to be had."""
        self._asleep, self.about = None, About()

    def ask(self, text: str) -> None:
        """Send `text` as soon as the thread is free; what is too much goes back to the user."""
        if problem := self.queue.refusal(text):
            self.problem = problem
            self._listener.returned(self, text)
        else:
            self.queue.add(text)
            self._send_next()
        self._listener.changed(self)

    def stop(self) -> None:
        """Stop the run, keep what it wrote, and give back what was to be sent after it."""
        if self._session is not None and self._run is not None:
            self._session.cancel()
            # It only waits for its save: what the user does next need not.
            self._ending.add(self._run)
            self._run.add_done_callback(self._ending.discard)
            self._run = None
        self._give_back()
        self._listener.changed(self)

    def go_on(self) -> None:
        """Let the model continue the incomplete answer at the end of the thread."""
        self._begin_if(
            self._session is not None and ended_within(self._session.state),
            lambda session: session.continue_answer(),
            "The last answer here is complete, so there is none to continue.",
        )

    def retry(self) -> None:
        """Run again the turn that failed; what came of it stays as a branch."""
        self._begin_if(
            self.failed,
            lambda session: session.regenerate(),
            "No answer failed here, so there is none to try again.",
        )

    def regenerate(self) -> None:
        """Have the last question answered again; the answer there is stays as a branch."""
        self._begin_if(
            any(entry.role == "user" for entry in self.entries()),
            lambda session: session.regenerate(),
            "Nothing was asked here yet, so there is nothing to answer again.",
        )

    def edit(self, message_id: str, text: str) -> bool:
        """Ask something else in place of a message; what came of it stays as a branch.

        Say whether it was sent.
        """
        if self.busy:
            self.problem = (
                "An answer is being written. Stop it (esc), then send the edited message."
            )
        sent = not self.busy and self._begin(lambda session: session.edit(message_id, text))
        self._listener.changed(self)
        return sent

    @property
    def unsaid(self) -> Branching | None:
        """The branching at the end of the thread when nothing came of the branch shown."""
        self.entries()
        return None if self.busy else self._listing.end

    @property
    def branches(self) -> "Sequence[Branch]":
        """Every branch at the forks of what is shown of the thread."""
        from koel_tui.ui.branches import branches_of

        return list(branches_of(self._session.state)) if self._session is not None else ()

    def switch(self, branching: Branching, step: int) -> str:
        """Show a branch so many further; return the entry it begins with, empty without one."""
        if self._session is None or self.busy:
            return ""
        try:
            self._session.switch(branching.after, step)
        except Exception as error:
            self.problem = str(error) or type(error).__name__
        self.measured.recall(self._session.state.messages)
        self._listener.changed(self)
        begun = ((entry.branching, entry.id) for entry in self.entries())
        return next((id_ for at, id_ in begun if at and at.after == branching.after), "")

    async def branch(self, message_id: str) -> "ChatSession | None":
        """Return the session of a new thread up to this message; None before there is one.

        Raises what the storage raises.
        """
        return await self._session.branch(message_id) if self._session is not None else None

    def take_back(self, text: str) -> bool:
        """Take a text out of the queue; say whether it was still there."""
        waited = self.queue.remove(text)
        if waited:
            self._listener.changed(self)
        return waited

    async def close(self) -> None:
        """End the session, which saves it; nothing is deleted."""
        if self._session is not None:
            await self._session.dispose()
        await asyncio.gather(*self._readers, *filter(None, [self._run]), *self._ending)

    def entries(self) -> Sequence[Entry]:
        """Return the messages to show, oldest first."""
        return () if self._session is None else self._listing.of(self._session.state)

    @property
    def last_answer(self) -> str:
        """The text of the newest answer, the one being written included; empty without one."""
        return next(
            (each.text for each in reversed(self.entries()) if each.role == "assistant"), ""
        )

    def fold(self) -> None:
        """Unfold thinking and calls, or fold them again."""
        self._listing.fold()
        self._listener.changed(self)

    def rows(self) -> Sequence[Row]:
        """Return what stands below the messages."""
        return rows_of(self, self._session.state if self._session else None)

    @property
    def closed(self) -> bool:
        """Whether the session was ended."""
        return self._session is not None and self._session.disposed

    @property
    def wants_title(self) -> bool:
        """Whether the first question has its answer, and nobody gave the thread a title."""
        asked = sum(message.role == "user" for message in self.messages)
        return asked == 1 and self.answered and not self.about.title

    @property
    def messages(self) -> "Sequence[Message]":
        """What was said in the thread, oldest first."""
        return self._session.state.messages if self._session is not None else ()

    async def _save_about(self, session: "ChatSession") -> None:
        try:
            await self.about.save(session)
        except Exception as error:
            self.problem = f"The settings of this thread could not be saved: {error}"

    def _send_next(self) -> None:
        if self._session is None or self._run is not None or not self.queue:
            return
        text = self.queue.take()
        if not self._begin(lambda session: session.send(text)):
            self.queue.put_back(text)  # the session did not take the text: it stays the user's
            self._give_back()

    def _begin_if(self, possible: bool, ask: "Asking", otherwise: str) -> None:
        """Start a run where that is possible, else say why not; nothing while one goes on."""
        if self.busy:
            return
        if possible:
            self._begin(ask)
        else:
            self.problem = otherwise
        self._listener.changed(self)

    def _begin(self, ask: "Asking") -> bool:
        """Start a run, unless the session refuses: then the problem says why."""
        if self._session is None:
            return False
        try:
            completion = ask(self._session)
        except Exception as error:
            self.problem = str(error) or type(error).__name__
            return False
        self.asked_at = monotonic()
        self._activity, self.problem = Activity("waiting"), ""
        self.measured.begin()
        self._run = asyncio.create_task(self._follow(completion))
        return True

    async def _follow(self, completion: Coroutine[Any, Any, None]) -> None:
        try:
            if self._session is not None:
                await self._save_about(self._session)  # before anything can end it
            await completion
        finally:
            if self._run is asyncio.current_task():
                self._run = None
        broken_off = self.broken_off if self.queue else ""
        if self.failed and not broken_off:
            self._give_back()
        self._listener.ended(self)
        self._send_next()
        if broken_off and self.busy:  # its row is gone with the next run
            self.problem = (
                f"The answer before this one broke off; what was queued goes on. {broken_off}"
            )
            self._listener.changed(self)

    def _give_back(self) -> None:
        if text := self.queue.drain():
            self._listener.returned(self, text)

    async def _read_states(self, states: "AsyncIterator[ChatState]") -> None:
        async for _ in states:
            self._listener.changed(self)

    async def _read_events(self, events: "AsyncIterator[Event]") -> None:
        async for event in events:
            activity, measures = activity_after(event), self.measured.hear(event)
            self._activity = activity or self._activity
            if activity is not None or measures:
                self._listener.changed(self)
