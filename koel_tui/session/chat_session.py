"""One thread: its state, the run in flight, and who watches."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ag_ui.core import RunAgentInput, RunErrorEvent, Tool

from koel_tui.agents import Agent
from koel_tui.protocol import (
    ChatState,
    Event,
    KoelError,
    Message,
    RunPhase,
    TurnSettings,
    calls_to_answer,
    echo_shown,
    end_run,
    error_event,
    fold,
    fork_off,
    settle,
    switch,
    to_ag_ui,
    truncate,
)
from koel_tui.session.autosave import Autosave
from koel_tui.session.broadcast import Broadcast
from koel_tui.session.errors import (
    NothingToContinueError,
    ReadOnlyThreadError,
    RunInProgressError,
    SessionDisposedError,
)
from koel_tui.session.interceptors import pipeline
from koel_tui.session.means import Means
from koel_tui.session.places import last_question, place_of
from koel_tui.session.rounds import Rounds, result_event
from koel_tui.session.run import SAVE_GRACE, Run, let_go
from koel_tui.session.run_input import new_id, run_input, state_values
from koel_tui.session.timestamps import stamp, whole_milliseconds
from koel_tui.session.tools import Tools, declared, handlers_by_name
from koel_tui.session.usage import model_of
from koel_tui.storage import Access
from koel_tui.text import repair


class ChatSession:
    """One thread and its run in flight; made by `KoelClient.new_session`.

    Use it from the event loop it was made for. Everything but `dispose`, `give_up`, `state`,
    `thread_id`, `save_error` and `dirty` raises `SessionDisposedError` once it is disposed.
    """

    def __init__(
        self,
        thread_id: str,
        initial: ChatState,
        means: Means,
        *,
        settings: TurnSettings | None = None,
        agent: Agent | None = None,
        after: asyncio.Future[None] | None = None,
        unsaved: bool = False,
    ) -> None:
        """Make the session; `after` ends when an earlier session of the thread is closed.

        `unsaved` says that `initial` is stored nowhere.
        """
        self.settings = settings
        """The settings of the next runs; None leaves all of them to the agent."""
        self.agent: Agent = agent or means.agent
        """Answers the next runs."""
        # All that may keep something of the thread, the first one from an earlier session.
        self._agents = [self.agent]
        self._thread_id = thread_id
        self._state = settle(initial)
        self._means = means
        self._states: Broadcast[ChatState] = Broadcast(size=1)
        self._events: Broadcast[Event] = Broadcast()
        self._autosave = Autosave(
            thread_id, means.storage, lambda: self._state, interval=means.save_interval, after=after
        )
        self._run: Run | None = None
        self._rounds: Rounds | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        if after is not None:
            self._keep(after)
        if unsaved:
            self._autosave.changed()
            self._autosave.now()

    @property
    def thread_id(self) -> str:
        """The thread's id."""
        return self._thread_id

    @property
    def state(self) -> ChatState:
        """The newest state."""
        return self._state

    @property
    def disposed(self) -> bool:
        """Whether the session was disposed."""
        return self._closing is not None

    @property
    def closed(self) -> bool:
        """Whether the session was disposed and has finished its last save."""
        return self._closing is not None and self._closing.done()

    @property
    def save_error(self) -> Exception | None:
        """Why the last save failed, or None when it did not."""
        return self._autosave.error

    @property
    def dirty(self) -> bool:
        """Whether the newest state is not saved yet; never without a storage."""
        return self._autosave.dirty

    # Runs. State and phase are set at the call; what is returned completes when the run ends. A
    # failed run does not raise, it is in `state.error`. Cancelling the caller leaves it alone.

    def send(self, text: str, *, tools: Tools = ()) -> Coroutine[Any, Any, None]:
        """Add the user's message and run. Raises `RunInProgressError`."""
        self._check_idle()
        return self._ask(self._state, text, tools)

    def edit(self, message_id: str, text: str, *, tools: Tools = ()) -> Coroutine[Any, Any, None]:
        """Replace a message and all that came after it by a message of the user's, and run.

        What is replaced stays as a branch. Raises `RunInProgressError` and `UnknownMessageError`.
        """
        self._check_idle()
        return self._ask(fork_off(self._state, self._place(message_id)), text, tools)

    def regenerate(self, *, tools: Tools = ()) -> Coroutine[Any, Any, None]:
        """Drop everything after the user's last message, and run; what is dropped stays a branch.

        Nothing happens when the user has said nothing. Raises `RunInProgressError`.
        """
        self._check_idle()
        asked = last_question(self._state)
        if asked is None:
            return asyncio.sleep(0)
        return self._start(fork_off(self._state, asked + 1), tools)

    def continue_answer(self, *, tools: Tools = ()) -> Coroutine[Any, Any, None]:
        """Let the agent continue the incomplete answer at the end of the thread.

        An answer is incomplete when it was interrupted, was cut at a limit, or is thinking only.

        Raises `RunInProgressError`, and `NothingToContinueError` when there is none.
        """
        self._check_idle()
        last = self._state.messages[-1] if self._state.messages else None
        if last is None or not last.is_continuable:
            raise NothingToContinueError(self._thread_id)
        return self._start(self._state, tools)

    def switch(self, after: str | None, step: int = 1) -> None:
        """Show another branch of the fork after this message, None for the first of a thread.

        The thread goes on from the one shown. Raises `RunInProgressError`.
        """
        self._check_idle()
        self._set(switch(self._state, after, step))
        self._autosave.now()

    def cancel(self) -> None:
        """End the run in flight at once and keep what has come; nothing happens when idle."""
        self._check()
        self._abandon()

    async def hold(self) -> Access | None:
        """Hold the thread for writing, which the first save does otherwise; return whether it may.

        Where another program holds it, the thread can be read here and not go on. Raises what the
        storage raises; None without one.
        """
        self._check()
        await self._autosave.open()
        return self._autosave.access

    async def branch(self, message_id: str) -> "ChatSession":
        """Return the session of a new thread with the messages up to the one named.

        It is saved, with this thread as `parent` and this thread's settings. Raises
        `UnknownMessageError` and what the storage raises.
        """
        self._check()
        begun = truncate(self._state, self._place(message_id) + 1)
        begun = replace(settle(begun), error=None, phase=RunPhase.IDLE, forks=())
        branch = self._means.open_session(begun, self.settings, self.agent)
        try:
            await branch.persist()
            await branch.describe(parent=self._thread_id, **await self._autosave.settings())
        except BaseException:
            branch.dispose()
            raise
        return branch

    def update_state(self, patch: Mapping[str, Any]) -> None:
        """Set keys of the shared state, which agents get with the next run.

        Raises `InvalidStateError`, and changes nothing, when JSON cannot hold the values.
        """
        self._check()
        values = state_values(self._thread_id, patch)
        self._set(replace(self._state, state={**self._state.state, **values}))
        self._autosave.soon()

    async def describe(self, **fields: Any) -> None:
        """Set what is known about the thread, its title for instance; None removes a field.

        Raises what the storage raises; nothing happens without one.
        """
        self._check()
        await self._autosave.describe(fields)

    async def persist(self) -> None:
        """Save the state. Raises what the storage raises; nothing happens without a storage."""
        self._check()
        await self._autosave.persist()

    async def clear(self) -> None:
        """Cancel the run, empty the thread and delete what is stored of it.

        Raises what the storage raises; the thread is empty all the same.
        """
        self._check()
        self._abandon()
        self._set(ChatState())
        await self._autosave.forget()

    def states(self) -> AsyncIterator[ChatState]:
        """Return the states from this call on; a slow reader skips to the newest."""
        self._check()
        return self._states.reader()

    def events(self) -> AsyncIterator[Event]:
        """Return the events from this call on, each before it is folded; none is skipped."""
        self._check()
        return self._events.reader()

    def dispose(self) -> asyncio.Future[None]:
        """End the session at once; the result completes when the last save is done.

        Idempotent. The result holds no error: `save_error` and `dirty` tell of a save that failed.
        """
        if self._closing is None:
            self._abandon()
            self._states.end()
            self._events.end()
            self._closing = asyncio.create_task(self._close(self._autosave.now()))
        return asyncio.shield(self._closing)

    @property
    def superseded(self) -> bool:
        """Whether a newer session has the thread, so that this one goes to a conflict file."""
        return self._autosave.superseded

    def hand_over(self, state: ChatState, *, loaded: bool) -> bool:
        """Leave the thread to a newer session with `state`, as `Autosave.hand_over` says."""
        return self._autosave.hand_over(settle(state), loaded=loaded)

    async def released(self) -> None:
        """Wait until a disposed session has finished its saves so far and left the thread."""
        await self.dispose()
        await self._autosave.drained()

    def give_up(self) -> None:
        """Leave unsaved what is not saved yet; for a session that is disposed."""
        self._autosave.give_up()

    def _ask(self, before: ChatState, text: str, tools: Tools) -> Coroutine[Any, Any, None]:
        message = Message(new_id(), "user", repair(text), timestamp=self._now())
        return self._start(replace(before, messages=(*before.messages, message)), tools)

    def _start(self, state: ChatState, tools: Tools) -> Coroutine[Any, Any, None]:
        offered, handlers = declared(tools), handlers_by_name(tools)
        self._set(replace(state, error=None, phase=RunPhase.RUNNING))
        self._autosave.now()
        settings, ask = self.settings, pipeline(self.agent, self._means.interceptors)
        if self.agent not in self._agents:
            self._agents.append(self.agent)
        rounds = Rounds(
            lambda run, extend: ask(run, settings, extend),
            lambda: self._input(offered),
            lambda: self._state,
            handlers,
        )
        run = Run(on_event=self._on_event, on_failure=self._on_failure, on_end=self._on_end)
        self._run, self._rounds = run, rounds
        self._keep(run.start(rounds.events, tuple(self._tasks)))
        return self._completion(run)

    def _on_event(self, event: Event) -> bool:
        """Take an event of the run; return whether the run is over with it."""
        if isinstance(event, RunErrorEvent):
            self._answer_calls("Error: the run failed before this call was executed.")
        self._autosave.note_model(model_of(event))
        state = self._apply(event)
        for reduce in self._means.reducers:
            state = reduce(state, event)
        self._set(state)
        self._autosave.soon()
        return self._rounds is not None and self._rounds.over

    def _apply(self, event: Event) -> ChatState:
        """Tell everybody of an event and return what it makes of the state."""
        stamped = stamp(event, self._now())
        self._means.observers.event(self._thread_id, stamped)
        self._events.publish(stamped)
        return fold(self._state, stamped)

    def _on_failure(self, error: KoelError) -> None:
        self._answer_calls("Error: the run failed before this call was executed.")
        # The event tells the same error, but only this one knows its cause.
        self._set(replace(self._apply(error_event(error)), error=error))

    def _on_end(self) -> None:
        self._run = None
        if self._state.phase.is_running:  # even its failure could not be told
            self._set(end_run(self._state, RunPhase.ERROR))
        self._autosave.now()

    async def _completion(self, run: Run) -> None:
        await run.over()
        await self._autosave.drained(SAVE_GRACE)

    def _abandon(self) -> None:
        if self._run is None:
            return
        run, self._run = self._run, None
        run.abandon()
        self._answer_calls("Error: the user stopped this before there was a result.")
        self._set(end_run(self._state, RunPhase.CANCELLED, self._now()))
        self._autosave.now()

    def _answer_calls(self, why: str) -> None:
        """Answer the calls that will not be executed any more: models need one for each."""
        if self._rounds is not None and self._rounds.answers_calls:
            for call in calls_to_answer(self._state):
                self._set(self._apply(result_event(call, why)))

    async def _close(self, last_save: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait([last_save])
            await let_go(self._tasks)
        finally:
            await self._autosave.release()
            for agent in self._agents:
                await self._means.release(agent, self._thread_id)

    def _input(self, tools: list[Tool]) -> RunAgentInput:
        return run_input(
            self._thread_id,
            to_ag_ui(self._state.messages, echo_shown(self._state)),
            state=self._state.state,
            tools=tools,
        )

    def _set(self, state: ChatState) -> None:
        if state is not self._state:
            self._state = state
            self._autosave.changed()
            self._states.publish(state)
            self._means.observers.state(self._thread_id, state)

    def _now(self) -> datetime:
        return whole_milliseconds(self._means.clock())

    def _place(self, message_id: str) -> int:
        return place_of(message_id, self._state, self._thread_id)

    def _keep(self, task: asyncio.Future[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _check(self) -> None:
        if self._closing is not None:
            raise SessionDisposedError(
                f"The session of thread {self._thread_id!r} was closed. Open the thread again."
            )

    def _check_idle(self) -> None:
        self._check()
        if self._run is not None:
            raise RunInProgressError(self._thread_id)
        access = self._autosave.access
        if access is not None and not access.writable:
            raise ReadOnlyThreadError(self._thread_id, access.reason)
