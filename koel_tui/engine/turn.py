"""One turn: its place in the line, its work on the native side, and the stream its caller reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from koel_tui.engine.errors import EngineError
from koel_tui.engine.frames import Event, Failed, Reading, Text, TurnEnded
from koel_tui.engine.mutex import GenerationMutex, Ticket
from koel_tui.engine.values import (
    ChatMessage,
    Delta,
    Finished,
    Progress,
    SessionMetrics,
    TextDelta,
)

if TYPE_CHECKING:
    from koel_tui.engine.session import EngineSession


@dataclass(frozen=True, slots=True)
class _Moved:
    """The turn's place in the line has changed; 0 means it may generate."""

    position: int


class TurnHost(Protocol):
    """What a turn needs of its engine; each method is told which turn it is about."""

    async def prepare(self, turn: Turn) -> None:
        """Get the native side ready for the turn."""
        ...

    def begin(self, turn: Turn) -> None:
        """Start the native work."""
        ...

    def halt(self, turn: Turn) -> None:
        """Ask the native work to end."""
        ...

    def over(self, turn: Turn) -> None:
        """Forget the turn."""
        ...


class Turn:
    """The bookkeeping of one turn, from the line to its last event.

    The permit goes back as soon as the native work is over, however slowly the caller reads.
    """

    def __init__(
        self, number: int, session: EngineSession, messages: tuple[ChatMessage, ...], host: TurnHost
    ) -> None:
        self.number = number
        self.session = session
        self.messages = messages
        self._host = host
        self._inbox: asyncio.Queue[_Moved | Event | EngineError] = asyncio.Queue()
        self._mutex: GenerationMutex | None = None
        self._ticket: Ticket | None = None
        self._begun = False
        self._stopped = False
        self._over = False

    def enter(self, mutex: GenerationMutex) -> None:
        """Join the line for a permit."""
        self._mutex = mutex
        self._ticket = mutex.enter(lambda position: self._inbox.put_nowait(_Moved(position)))

    def receive(self, event: Event) -> None:
        """Take an event of the native side."""
        if isinstance(event, TurnEnded | Failed):
            self._leave()
        self._inbox.put_nowait(event)

    def fail(self, error: EngineError) -> None:
        """End the turn with an error of the engine itself."""
        self._leave()
        self._inbox.put_nowait(error)

    def stop(self) -> None:
        """Ask for the end of the turn; what waits unread is dropped, the stream ends normally."""
        if self._over or self._stopped:
            return
        self._stopped = True
        if self._begun:
            self._host.halt(self)
        else:
            self._end_unbegun()

    def abandon(self) -> None:
        """Leave at once, wherever the turn stands; its late events go nowhere."""
        if not self._over:
            if self._begun and not self._stopped:
                self._host.halt(self)
            self._stopped = True
            self._leave()

    async def next(self) -> Text | Reading | Progress | TurnEnded:
        """Return what happens next. Raises `EngineError` when the turn fails."""
        while True:
            item = await self._inbox.get()
            match item:
                case _Moved(position=0):
                    await self._start()
                case _Moved(position=position):
                    return Progress("queued", position=position)
                case Text() | Reading():
                    if not self._stopped:
                        return item
                case TurnEnded():
                    return item
                case Failed():
                    raise item.as_error()
                case EngineError():
                    raise item
                case _:
                    raise EngineError(
                        f"The engine sent {item.kind!r} within a turn; this is a bug."
                    )

    async def _start(self) -> None:
        if self._over:
            return
        await self._host.prepare(self)
        if not self._over:  # else stopped while a fresh native side was starting
            self._begun = True
            self._host.begin(self)

    def _end_unbegun(self) -> None:
        self._leave()
        self._inbox.put_nowait(TurnEnded(0, "stopped", SessionMetrics()))

    def _leave(self) -> None:
        self._over = True
        if self._mutex is not None and self._ticket is not None:
            self._mutex.leave(self._ticket)
        self._host.over(self)


class TurnStream(AsyncIterator[Delta]):
    """The deltas of one turn. Leaving the loop early, or dropping the stream, ends the turn.

    Not an async generator: those are finished by the event loop some time after the caller has
    left, and the next caller should not wait for that.
    """

    def __init__(
        self,
        start: Callable[[], Turn],
        finish: Callable[[str, TurnEnded | None], None],
        progress: bool,
    ) -> None:
        self._start = start
        self._finish = finish
        self._progress = progress
        self._turn: Turn | None = None
        self._pieces: list[str] = []
        self._done = False

    def __aiter__(self) -> TurnStream:
        return self

    async def __anext__(self) -> Delta:
        if self._done:
            raise StopAsyncIteration
        if self._turn is None:
            try:
                self._turn = self._start()
            except BaseException:
                self._done = True
                raise
        try:
            while True:
                item = await self._turn.next()
                match item:
                    case Text(text=text):
                        self._pieces.append(text)
                        return TextDelta(text)
                    case Reading(done=done, total=total):
                        if self._progress:
                            return Progress("reading", done=done, total=total)
                    case Progress():
                        if self._progress:
                            return item
                    case TurnEnded(reason=reason, metrics=metrics):
                        self._end(item)
                        return Finished(reason, metrics=metrics)
        except BaseException:
            self._end(None)
            raise

    async def aclose(self) -> None:
        """End the turn now; the session can be used again at once."""
        self._end(None)

    def __del__(self) -> None:
        self._end(None)

    def _end(self, ended: TurnEnded | None) -> None:
        if self._done:
            return
        self._done = True
        if self._turn is not None:
            self._turn.abandon()
            self._finish("".join(self._pieces), ended)
