"""One turn: its queue ticket, its events from the worker, and the stream of its deltas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from koel_tui.engine.errors import EngineCrashedError, EngineError
from koel_tui.engine.history import History
from koel_tui.engine.mutex import GenerationMutex, Ticket
from koel_tui.engine.turn_inbox import TurnInbox
from koel_tui.engine.types import (
    ChatMessage,
    Delta,
    Finished,
    Progress,
    SessionMetrics,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from koel_tui.engine.wire_messages import (
    Event,
    Failed,
    HiddenThinking,
    PrefillProgress,
    Text,
    Thinking,
    ToolCalled,
    TurnEnded,
)
from koel_tui.protocol.turn_settings import TurnSettings

_TurnEvent = Text | Thinking | HiddenThinking | ToolCalled | PrefillProgress | Progress | TurnEnded
"""The events that `Turn.next` returns."""


class TurnHost(Protocol):
    """Interface of the engine to its turns."""

    async def prepare(self, turn: Turn) -> None:
        """Prepare the worker for the turn."""
        ...

    def begin(self, turn: Turn) -> None:
        """Send the turn to the worker."""
        ...

    def halt(self, turn: Turn) -> None:
        """Ask the worker to stop the turn."""
        ...

    def over(self, turn: Turn) -> None:
        """Forget the turn."""
        ...


class Turn:
    """The state of one turn, from the queue to its last event.

    The turn starts when it gets its permit, and releases it when the worker has finished, even
    if the caller has not consumed all events.
    """

    def __init__(
        self,
        number: int,
        session: int,
        history: History,
        settings: TurnSettings,
        host: TurnHost,
    ) -> None:
        self.number = number
        self.session = session
        """Number of the turn's session in the engine."""
        self.history = history
        """The messages that the turn answers."""
        self.settings = settings
        self._host = host
        self._inbox = TurnInbox()
        self._mutex: GenerationMutex | None = None
        self._ticket: Ticket | None = None
        self._starting: asyncio.Task[None] | None = None
        self._is_started = False
        self._is_stopped = False
        self._is_over = False

    def enter(self, mutex: GenerationMutex) -> None:
        """Join the queue for a permit."""
        self._mutex = mutex
        self._ticket = mutex.enter(self._on_position)

    def receive(self, event: Event) -> None:
        """Handle an event of the worker."""
        if isinstance(event, TurnEnded | Failed):
            self._finish_turn()
        self._inbox.put(event)

    def fail(self, error: Exception) -> None:
        """End the turn with an error that the worker did not send."""
        if self._is_started and isinstance(error, EngineCrashedError):
            error = EngineCrashedError(error.how, begun=True)
        self._stop_in_worker()
        self._finish_turn()
        self._inbox.put(error)

    def stop(self) -> None:
        """Stop the turn; unread events are dropped, and the stream ends normally."""
        if not self._is_started and not self._is_over:
            self._end_locally()
        self._stop_in_worker()
        self._is_stopped = True

    def abandon(self) -> None:
        """End the turn at once in any state; its late events are dropped."""
        if not self._is_over:
            self._stop_in_worker()
            self._is_stopped = True
            self._end_locally()

    async def next(self) -> _TurnEvent:
        """Return the next event. Raises `EngineError` if the turn fails."""
        while True:
            item = await self._inbox.get()
            match item:
                case Progress():
                    return item
                case Text() | Thinking() | HiddenThinking() | ToolCalled() | PrefillProgress():
                    if not self._is_stopped:
                        return item
                case TurnEnded():
                    # Text after the stop was dropped, so the worker's reason does not apply.
                    return replace(item, reason="stopped") if self._is_stopped else item
                case Failed():
                    raise item.as_error()
                case Exception():
                    raise item
                case _:
                    raise EngineError(
                        f"The engine sent {item.kind!r} within a turn; this is a bug."
                    )

    def _on_position(self, position: int) -> None:
        if position:
            self._inbox.put(Progress("queued", position=position))
        else:
            self._starting = asyncio.create_task(self._start(), name="turn start")

    async def _start(self) -> None:
        try:
            await self._host.prepare(self)
            if not self._is_over:
                self._host.begin(self)
                # Set last, because the worker must not get a stop for an unknown turn.
                self._is_started = True
        except Exception as error:  # any error must end the turn, or its caller would hang
            self.fail(error)

    def _stop_in_worker(self) -> None:
        """Stop the turn in the worker if it runs there and was not stopped before."""
        if self._is_started and not self._is_over and not self._is_stopped:
            self._host.halt(self)

    def _end_locally(self) -> None:
        self._finish_turn()
        self._inbox.put(TurnEnded(0, "stopped", SessionMetrics()))

    def _finish_turn(self) -> None:
        self._is_over = True
        if self._starting is not None and not self._is_started:
            self._starting.cancel()
        if self._mutex is not None and self._ticket is not None:
            self._mutex.leave(self._ticket)
        self._host.over(self)


class TurnStream(AsyncIterator[Delta]):
    """The deltas of one turn. Leaving the loop early, or dropping the stream, ends the turn.

    Not an async generator: the event loop finalizes an abandoned generator some time later, and
    the next turn would wait for that.
    """

    def __init__(
        self,
        start: Callable[[], Turn],
        finish: Callable[[ChatMessage, TurnEnded | None], None],
        progress: bool,
    ) -> None:
        self._start = start
        self._finish = finish
        self._progress = progress
        self._turn: Turn | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pieces: list[str] = []
        self._calls: list[ToolCallDelta] = []
        self._done = False

    def __aiter__(self) -> TurnStream:
        return self

    async def __anext__(self) -> Delta:
        if self._done:
            raise StopAsyncIteration
        if self._turn is None:
            self._loop = asyncio.get_running_loop()
            try:
                self._turn = self._start()
            except BaseException:
                self._done = True
                raise
        try:
            while True:
                item = await self._turn.next()
                if self._progress or not isinstance(
                    item, PrefillProgress | HiddenThinking | Progress
                ):
                    return self._delta(item)
        except BaseException:
            self._end(None)
            raise

    def _delta(self, item: _TurnEvent) -> Delta:
        match item:
            case Text(text=text):
                self._pieces.append(text)
                return TextDelta(text)
            case Thinking(text=text):
                return ThinkingDelta(text)
            case ToolCalled(tool_call=call):
                self._calls.append(call)
                return call
            case PrefillProgress(done=done, total=total):
                return Progress("reading", done=done, total=total)
            case HiddenThinking(tokens=tokens):
                return Progress("thinking", done=tokens)
            case Progress():
                return item
            case TurnEnded(reason=reason, trimmed_turns=trimmed, metrics=metrics):
                self._end(item)
                return Finished(reason, trimmed, metrics)

    async def aclose(self) -> None:
        """End the turn; the session is idle immediately."""
        self._end(None)

    def __del__(self) -> None:
        if self._done or self._loop is None:
            return
        if asyncio._get_running_loop() is self._loop:
            self._end(None)
            return
        # The garbage collector may run on any thread, but the turn must end on the event loop.
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._end, None)

    def _end(self, ended: TurnEnded | None) -> None:
        if self._done:
            return
        self._done = True
        if self._turn is not None:
            self._turn.abandon()
            answer = ChatMessage("assistant", "".join(self._pieces), tool_calls=tuple(self._calls))
            self._finish(answer, ended)
