"""One thread: its state, the run in flight, and who watches."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ag_ui.core import BaseEvent, RunAgentInput, Tool

from koel_tui.agents import Agent
from koel_tui.protocol import (
    ChatState,
    Event,
    KoelError,
    Message,
    RunPhase,
    end_run,
    error_event,
    fold,
    settle,
    to_ag_ui,
)
from koel_tui.session.autosave import Autosave
from koel_tui.session.broadcast import Broadcast
from koel_tui.session.errors import RunInProgressError, SessionDisposedError
from koel_tui.session.run import Run, let_go
from koel_tui.storage import SessionStorage
from koel_tui.text import repair

_log = logging.getLogger(__name__)

_SAVE_GRACE = 0.5
"""Seconds `send` waits for the save at the end of its run."""

_RELEASE_GRACE = 5.0
"""Seconds an agent may take to free what it keeps for a thread."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a client gives each of its sessions to work with."""

    agent: Agent
    storage: SessionStorage | None
    clock: Callable[[], datetime]
    save_interval: float


class ChatSession:
    """One thread and its run in flight; made by `KoelClient.new_session`.

    Use it from the event loop it was made for. Everything but `dispose`, `state`, `thread_id`,
    `save_error` and `dirty` raises `SessionDisposedError` once it is disposed.
    """

    def __init__(
        self,
        thread_id: str,
        initial: ChatState,
        means: Means,
        *,
        forward: Mapping[str, Any] | None = None,
        after: asyncio.Future[None] | None = None,
    ) -> None:
        """Make the session; `after` ends when an earlier session of the thread is closed."""
        self.forward: Mapping[str, Any] = dict(forward or {})
        """Sent as `forwardedProps` with each run, system prompt and sampling for instance."""
        self._thread_id = thread_id
        self._state = settle(initial)
        self._means = means
        self._states: Broadcast[ChatState] = Broadcast(size=1)
        self._events: Broadcast[Event] = Broadcast()
        self._autosave = Autosave(
            thread_id,
            means.storage,
            lambda: self._state,
            interval=means.save_interval,
            after=after,
        )
        self._run: Run | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        if after is not None:
            self._keep(after)

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

    def send(self, text: str, *, tools: Sequence[Tool] = ()) -> Coroutine[Any, Any, None]:
        """Add the user's message, start a run, and return what completes when the run ends.

        The message and the phase are set at the call. A failed run does not raise, it is in
        `state.error`. Cancelling the caller leaves the run alone. Raises `RunInProgressError`.
        """
        self._check()
        if self._run is not None:
            raise RunInProgressError(self._thread_id)
        message = Message(_new_id(), "user", repair(text), timestamp=self._now())
        messages = (*self._state.messages, message)
        self._set(replace(self._state, messages=messages, error=None, phase=RunPhase.RUNNING))
        self._autosave.now()
        return self._start(tools)

    def cancel(self) -> None:
        """End the run in flight at once and keep what has come; nothing happens when idle."""
        self._check()
        self._abandon()

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

    def _start(self, tools: Sequence[Tool]) -> Coroutine[Any, Any, None]:
        run = self._run = Run(
            _new_id(), on_event=self._on_event, on_failure=self._on_failure, on_end=self._on_end
        )
        ask = self._means.agent.run
        earlier = tuple(self._tasks)
        self._keep(run.start(lambda: ask(self._input(run.run_id, tools)), earlier))
        return self._completion(run)

    def _on_event(self, event: Event) -> None:
        stamped = self._stamp(event)
        self._events.publish(stamped)
        self._set(fold(self._state, stamped))
        self._autosave.soon()

    def _on_failure(self, error: KoelError) -> None:
        event = self._stamp(error_event(error))
        self._events.publish(event)
        # The event tells the same error, but only this one knows its cause.
        self._set(replace(fold(self._state, event), error=error))

    def _on_end(self) -> None:
        self._run = None
        self._autosave.now()

    async def _completion(self, run: Run) -> None:
        await run.over()
        await self._autosave.drained(_SAVE_GRACE)

    def _abandon(self) -> None:
        if self._run is None:
            return
        run, self._run = self._run, None
        run.abandon()
        self._set(end_run(self._state, RunPhase.CANCELLED, self._now()))
        self._autosave.now()

    async def _close(self, last_save: asyncio.Future[None]) -> None:
        await asyncio.wait([last_save])
        await let_go(self._tasks)
        release = getattr(self._means.agent, "release", None)
        if release is None:
            return
        try:
            async with asyncio.timeout(_RELEASE_GRACE):
                await release(self._thread_id)
        except Exception as error:  # the thread is saved; nothing is lost but the agent's memory
            _log.warning("The agent did not release thread %r: %r", self._thread_id, error)

    def _input(self, run_id: str, tools: Sequence[Tool]) -> RunAgentInput:
        return RunAgentInput(
            thread_id=self._thread_id,
            run_id=run_id,
            messages=to_ag_ui(self._state.messages),
            state=dict(self._state.state),
            tools=list(tools),
            context=[],
            forwarded_props=dict(self.forward),
        )

    def _set(self, state: ChatState) -> None:
        if state is not self._state:
            self._state = state
            self._autosave.changed()
            self._states.publish(state)

    def _stamp(self, event: Event) -> Event:
        """Return the event with a time, so that the fold needs no clock of its own."""
        if not isinstance(event, BaseEvent) or event.timestamp is not None:
            return event
        return event.model_copy(update={"timestamp": round(self._now().timestamp() * 1000)})

    def _now(self) -> datetime:
        """Return the time in whole milliseconds, which is what is stored."""
        now = self._means.clock()
        return now - timedelta(microseconds=now.microsecond % 1000)

    def _keep(self, task: asyncio.Future[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _check(self) -> None:
        if self._closing is not None:
            raise SessionDisposedError(
                f"The session of thread {self._thread_id!r} was closed. Open the thread again."
            )


def _new_id() -> str:
    return str(uuid.uuid4())
