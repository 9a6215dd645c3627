"""The session of one thread: its state, its active run and its readers."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ag_ui.core import RunErrorEvent

from koel_tui.agents import Agent
from koel_tui.protocol import (
    ChatState,
    Event,
    KoelError,
    Message,
    RunPhase,
    TurnSettings,
    calls_to_answer,
    end_run,
    error_event,
    fold,
    fork_off,
    settle,
    switch,
    truncate,
)
from koel_tui.protocol.message_order import last_question
from koel_tui.session.autosave import Autosave
from koel_tui.session.broadcast import Broadcast
from koel_tui.session.dependencies import SessionDependencies
from koel_tui.session.errors import (
    NothingToContinueError,
    ReadOnlyThreadError,
    RunInProgressError,
    SessionDisposedError,
)
from koel_tui.session.interceptors import pipeline
from koel_tui.session.message_index import find_message
from koel_tui.session.run import SAVE_TIMEOUT, Run, wait_finished
from koel_tui.session.run_input import RunInputs, new_id, state_values
from koel_tui.session.timestamps import add_timestamp, truncate_to_milliseconds, try_clock
from koel_tui.session.tool_loop import ToolLoop, result_event
from koel_tui.session.tools import Tools, declarations, handlers_by_name
from koel_tui.session.usage import model_name
from koel_tui.storage import Access
from koel_tui.text import repair


class ChatSession:
    """One thread and its active run; created by `KoelClient.new_session`.

    Use it only from its event loop. After `dispose`, everything except `dispose`, `abandon_saves`,
    `state`, `thread_id`, `save_error` and `dirty` raises `SessionDisposedError`.
    """

    def __init__(
        self,
        thread_id: str,
        initial: ChatState,
        dependencies: "SessionDependencies[ChatSession]",
        *,
        settings: TurnSettings | None = None,
        agent: Agent | None = None,
        after: asyncio.Future[None] | None = None,
        unsaved: bool = False,
    ) -> None:
        """`after` completes when the earlier sessions of the thread are closed.

        `unsaved` means that `initial` is not stored anywhere.
        """
        self.settings = settings
        """The settings of the next runs; None leaves all of them to the agent."""
        self.agent: Agent = agent or dependencies.agent
        """The agent of the next runs."""
        # All agents that may hold a context of the thread, the first one from an earlier session.
        self._agents = [self.agent]
        self._thread_id = thread_id
        self._state = settle(initial)
        self._dependencies = dependencies
        self._states: Broadcast[ChatState] = Broadcast(size=1)
        self._events: Broadcast[Event] = Broadcast()
        self._inputs = RunInputs(thread_id)
        self._autosave = Autosave(
            thread_id,
            dependencies.storage,
            lambda: self._state,
            interval=dependencies.save_interval,
            after=after,
            on_change=lambda: dependencies.saves.publish(None),
        )
        self._run: Run | None = None
        self._tool_loop: ToolLoop | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        if after is not None:
            self._track(after)
        if unsaved:
            self._autosave.mark_changed()
            self._autosave.save_now()

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
        """True if the session was disposed."""
        return self._closing is not None

    @property
    def closed(self) -> bool:
        """True if the session was disposed and has finished its last save."""
        return self._closing is not None and self._closing.done()

    @property
    def save_error(self) -> Exception | None:
        """The error of the last save, None if it succeeded."""
        return self._autosave.error

    @property
    def dirty(self) -> bool:
        """True if the newest state is not saved yet; always False without a storage."""
        return self._autosave.dirty

    # Runs. The call sets state and phase; the returned coroutine completes when the run ends. A
    # failed run sets `state.error` and does not raise. Cancelling the caller does not end the run.

    def send(self, text: str, *, tools: Tools = ()) -> Coroutine[Any, Any, None]:
        """Add a user message and run. Raises `RunInProgressError`."""
        self._check_idle()
        return self._ask(self._state, text, tools)

    def edit(self, message_id: str, text: str, *, tools: Tools = ()) -> Coroutine[Any, Any, None]:
        """Replace a message and everything after it with a new user message, and run.

        The old messages stay as a branch. Raises `RunInProgressError` and `UnknownMessageError`.
        """
        self._check_idle()
        return self._ask(fork_off(self._state, self._index(message_id)), text, tools)

    def regenerate(self, *, tools: Tools = ()) -> Coroutine[Any, Any, None]:
        """Remove everything after the last user message, and run; the removed part stays a branch.

        No-op if there is no user message. Raises `RunInProgressError`.
        """
        self._check_idle()
        question = last_question(self._state.messages)
        if question is None:
            return asyncio.sleep(0)
        return self._start(fork_off(self._state, question + 1), tools)

    def continue_answer(self, *, tools: Tools = ()) -> Coroutine[Any, Any, None]:
        """Let the agent continue the incomplete answer at the end of the thread.

        An answer is incomplete if it was interrupted, was cut at a limit, or has thinking only.

        Raises `RunInProgressError`, and `NothingToContinueError` if there is no incomplete answer.
        """
        self._check_idle()
        last = self._state.messages[-1] if self._state.messages else None
        if last is None or not last.is_continuable:
            raise NothingToContinueError(self._thread_id)
        return self._start(self._state, tools)

    def switch(self, after: str | None, step: int = 1) -> None:
        """Show the branch `step` further at the fork after message `after`, None for the start.

        The thread continues from the branch shown. Raises `RunInProgressError`.
        """
        self._check_idle()
        self._set(switch(self._state, after, step))
        self._autosave.save_now()

    def cancel(self) -> None:
        """End the active run at once and keep the partial answer; no-op when idle."""
        self._check_open()
        self._cancel_run()

    async def hold(self) -> Access | None:
        """Lock the thread for writing, instead of at the first save; return the access to it.

        If another program holds the lock, the thread is read-only here. Raises what the storage
        raises; returns None without a storage.
        """
        self._check_open()
        await self._autosave.open()
        return self._autosave.access

    async def branch(self, message_id: str) -> "ChatSession":
        """Return the session of a new thread with the messages up to and including one.

        It is saved with this thread as `parent` and with this thread's settings. Raises
        `UnknownMessageError` and what the storage raises.
        """
        self._check_open()
        truncated = truncate(self._state, self._index(message_id) + 1)
        truncated = replace(settle(truncated), error=None, phase=RunPhase.IDLE, forks=())
        branch = self._dependencies.open_session(truncated, self.settings, self.agent)
        try:
            await branch.persist()
            await branch.describe(parent=self._thread_id, **await self._autosave.settings())
        except BaseException:
            branch.dispose()
            raise
        return branch

    def update_state(self, patch: Mapping[str, Any]) -> None:
        """Set keys of the shared state, which agents receive with the next run.

        Raises `InvalidStateError` and changes nothing if JSON cannot represent the values.
        """
        self._check_open()
        values = state_values(self._thread_id, patch)
        self._set(replace(self._state, state={**self._state.state, **values}))
        self._autosave.save_soon()

    async def describe(self, **fields: Any) -> None:
        """Set metadata of the thread, for instance its title; None removes a field.

        Raises what the storage raises; no-op without a storage.
        """
        self._check_open()
        await self._autosave.update_metadata(fields)

    async def persist(self) -> None:
        """Save the state. Raises what the storage raises; no-op without a storage."""
        self._check_open()
        await self._autosave.persist()

    async def clear(self) -> None:
        """Cancel the run, empty the thread and delete its stored data.

        Raises what the storage raises; the thread is empty even then.
        """
        self._check_open()
        self._cancel_run()
        self._set(ChatState())
        await self._autosave.delete()

    def states(self) -> AsyncIterator[ChatState]:
        """Return the states from now on; a slow reader receives only the newest one."""
        self._check_open()
        return self._states.reader()

    def events(self) -> AsyncIterator[Event]:
        """Return the events from now on, each before it is folded; none is skipped."""
        self._check_open()
        return self._events.reader()

    def dispose(self) -> asyncio.Future[None]:
        """End the session at once; the result completes when the last save is done.

        Idempotent. The result holds no error: `save_error` and `dirty` report a failed save.
        """
        if self._closing is None:
            self._cancel_run()
            self._states.end()
            self._events.end()
            self._closing = asyncio.create_task(self._close(self._autosave.save_now()))
        return asyncio.shield(self._closing)

    @property
    def superseded(self) -> bool:
        """True if a newer session owns the thread, so that this one saves to a conflict file."""
        return self._autosave.superseded

    def hand_over(self, state: ChatState, *, loaded: bool) -> bool:
        """Hand the thread over to a newer session with `state`; see `Autosave.hand_over`."""
        return self._autosave.hand_over(settle(state), loaded=loaded)

    async def released(self) -> None:
        """Wait until a disposed session has finished its saves so far and released the thread."""
        await self.dispose()
        await self._autosave.wait_saved()

    def abandon_saves(self) -> None:
        """Drop the unsaved changes of a disposed session."""
        self._autosave.stop_saving()

    def _ask(self, before: ChatState, text: str, tools: Tools) -> Coroutine[Any, Any, None]:
        message = Message(new_id(), "user", repair(text), timestamp=self._now())
        return self._start(replace(before, messages=(*before.messages, message)), tools)

    def _start(self, state: ChatState, tools: Tools) -> Coroutine[Any, Any, None]:
        offered, handlers = declarations(tools), handlers_by_name(tools)
        self._set(replace(state, error=None, phase=RunPhase.RUNNING))
        self._autosave.save_now()
        settings, ask = self.settings, pipeline(self.agent, self._dependencies.interceptors)
        if self.agent not in self._agents:
            self._agents.append(self.agent)
        tool_loop = ToolLoop(
            lambda run, extend: ask(run, settings, extend),
            lambda: self._inputs.build(self._state, offered),
            lambda: self._state,
            handlers,
        )
        run = Run(on_event=self._on_event, on_failure=self._on_failure, on_end=self._on_end)
        self._run, self._tool_loop = run, tool_loop
        self._track(run.start(tool_loop.events, tuple(self._tasks)))
        return self._completion(run)

    def _on_event(self, event: Event) -> bool:
        """Apply an event of the run; return whether it is the last one."""
        if isinstance(event, RunErrorEvent):
            self._answer_calls("Error: the run failed before this call was executed.")
        self._autosave.save_model(model_name(event))
        state = self._apply(event, self._now())
        for reduce in self._dependencies.reducers:
            state = reduce(state, event)
        self._set(state)
        self._autosave.save_soon()
        return self._tool_loop is not None and self._tool_loop.is_over

    def _apply(self, event: Event, now: datetime | None) -> ChatState:
        """Publish an event and return the state after it."""
        stamped = add_timestamp(event, now)
        self._dependencies.observers.event(self._thread_id, stamped)
        self._events.publish(stamped)
        return fold(self._state, stamped)

    def _on_failure(self, error: KoelError) -> None:
        self._answer_calls("Error: the run failed before this call was executed.")
        # The event contains the same error without its cause, so we set the original.
        self._set(replace(self._apply(error_event(error), self._try_now()), error=error))

    def _on_end(self) -> None:
        self._run = None
        if self._state.phase.is_running:  # reporting the failure failed too
            self._set(end_run(self._state, RunPhase.ERROR))
        self._autosave.save_now()

    async def _completion(self, run: Run) -> None:
        await run.wait_over()
        await self._autosave.wait_saved(SAVE_TIMEOUT)

    def _cancel_run(self) -> None:
        if self._run is None:
            return
        run, self._run = self._run, None
        run.abandon()
        self._answer_calls("Error: the user stopped this before there was a result.")
        self._set(end_run(self._state, RunPhase.CANCELLED, self._try_now()))
        self._autosave.save_now()

    def _answer_calls(self, reason: str) -> None:
        """Answer the calls that will not be executed, because models need a result for each."""
        if self._tool_loop is not None and self._tool_loop.answers_calls:
            for call in calls_to_answer(self._state):
                self._set(self._apply(result_event(call, reason), self._try_now()))

    async def _close(self, last_save: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait([last_save])
            await wait_finished(self._tasks)
        finally:
            await self._autosave.release()
            for agent in self._agents:
                await self._dependencies.release(agent, self._thread_id)

    def _set(self, state: ChatState) -> None:
        if state is not self._state:
            self._state = state
            self._autosave.mark_changed()
            self._states.publish(state)
            self._dependencies.observers.state(self._thread_id, state)

    def _now(self) -> datetime:
        return truncate_to_milliseconds(self._dependencies.clock())

    def _try_now(self) -> datetime | None:
        """Return the time, None if the clock raises, because every run must be able to end."""
        return try_clock(self._now)

    def _index(self, message_id: str) -> int:
        return find_message(message_id, self._state, self._thread_id)

    def _track(self, task: asyncio.Future[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise SessionDisposedError(
                f"The session of thread {self._thread_id!r} was closed. Open the thread again."
            )

    def _check_idle(self) -> None:
        self._check_open()
        if self._run is not None:
            raise RunInProgressError(self._thread_id)
        access = self._autosave.access
        if access is not None and not access.writable:
            raise ReadOnlyThreadError(self._thread_id, access.reason)
