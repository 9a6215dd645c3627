"""The caller's end of the native side: started, asked, restarted after a crash, closed."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from koel_tui.engine.callbacks import isolated
from koel_tui.engine.errors import EngineClosedError, EngineCrashedError, EngineError
from koel_tui.engine.restart_limiter import Restarts
from koel_tui.engine.runner.transport import Transport
from koel_tui.engine.shared_task import SharedTask
from koel_tui.engine.types import MemoryReport, ModelCard
from koel_tui.engine.wire_messages import (
    Command,
    Counted,
    Crashed,
    Done,
    Event,
    Failed,
    Load,
    Loaded,
    LoadProgress,
    MemoryChanged,
    StopTurn,
    TurnEnded,
)

PATIENCE_S = 60.0
"""Seconds a turn may take to stop: reading is interrupted, so it takes one step of decoding."""
_HANGS = f"did not stop writing within {PATIENCE_S:.0f} seconds and was killed"


class WorkerClient:
    """One native side over a link: loads it once, matches answers to calls, passes turns on.

    `on_turn` hears events of turns with the turn's number, `on_crash` that everything the native
    side knew is gone; the next call loads it anew.
    """

    def __init__(
        self,
        link: Transport,
        load: Load,
        *,
        on_turn: Callable[[int, Event], None],
        on_crash: Callable[[EngineCrashedError], None],
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self._link = link
        self._load = load
        self._on_turn = on_turn
        self._on_crash = on_crash
        self._on_progress = on_progress
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Event]] = {}
        self._stopping: dict[int, asyncio.TimerHandle] = {}  # by turn, until it has ended
        self._loading: asyncio.Future[ModelCard] | None = None
        self._starting: SharedTask[ModelCard] | None = None
        self._card: ModelCard | None = None
        self._memory = MemoryReport()
        self._linked = False
        self._restarts = Restarts()
        self._last_end = ""  # how it died, once it has
        self._gone: EngineError = EngineClosedError()  # why nothing is loaded any more
        self._closed = False

    @property
    def card(self) -> ModelCard | None:
        """What the loaded model says of itself; None while nothing is loaded."""
        return self._card

    @property
    def memory(self) -> MemoryReport:
        """What the native side last said it holds; zeros while nothing is loaded."""
        return self._memory

    def number(self) -> int:
        """Return a number no other call or turn has."""
        return next(self._numbers)

    async def start(self) -> ModelCard:
        """Load the model unless it is loaded; concurrent callers share one load.

        Raises `ModelLoadError`, `EngineCrashedError` or `EngineClosedError`.
        """
        self._check_open()
        if self._card is not None:
            return self._card
        if self._starting is None or self._starting.done:
            self._starting = SharedTask(self._load_once(), "engine start")
        await self._starting.result()
        self._check_open()
        if self._card is None:  # it died between the end of its load and here
            raise self._gone
        return self._card

    async def call(self, make: Callable[[int], Command]) -> Event:
        """Send a command that is answered, starting the native side if need be."""
        await self.start()
        return await self.request(make)

    def request(self, make: Callable[[int], Command]) -> asyncio.Future[Event]:
        """Send a command to the loaded native side at once and return its answer to come."""
        number = self.number()
        answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._link.send(make(number))
        self._calls[number] = answer
        answer.add_done_callback(lambda _: self._calls.pop(number, None))
        return answer

    def send(self, command: Command) -> None:
        """Send a command that has no answer of its own."""
        self._link.send(command)

    def stop(self, turn: int) -> None:
        """Ask for the end of a turn; a native side that does not come to it is killed."""
        if self._card is None:
            return  # it died, and the turn with it
        self._link.send(StopTurn(turn))
        loop = asyncio.get_running_loop()
        self._stopping[turn] = loop.call_later(PATIENCE_S, self._link.kill, _HANGS)

    async def close(self) -> None:
        """Fail every call and end the native side."""
        self._closed = True
        self._lose(EngineClosedError())
        if self._starting is not None:
            # Before the link: one that is still opening would start what nobody ends.
            await self._starting.settle()
        await self._link.close()

    async def _load_once(self) -> ModelCard:
        if not self._linked:  # a native side that could not load is there still
            if self._last_end:
                self._restarts.count(asyncio.get_running_loop().time(), self._last_end)
            await self._link.open(self._receive)
            self._linked = True
        self._check_open()
        self._loading = asyncio.get_running_loop().create_future()
        self._link.send(self._load)
        return await self._loading

    def _receive(self, event: Event) -> None:
        match event:
            case LoadProgress(fraction=fraction):
                if self._on_progress is not None:
                    isolated(self._on_progress, fraction)
            case Loaded(card=card):
                self._card = card
                if self._loading is not None and not self._loading.done():
                    self._loading.set_result(card)
            case MemoryChanged(report=report):
                self._memory = report
            case Crashed(message=message):
                self._linked, self._last_end = False, message
                error = EngineCrashedError(message)
                self._lose(error)
                isolated(self._on_crash, error)
            case Failed(call=0):
                self._fail_future(self._loading, event.as_error())
            case Done(call=number) | Counted(call=number):
                answer = self._calls.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(event)
            case Failed(call=number) if number in self._calls:
                self._fail_future(self._calls[number], event.as_error())
            case Failed(call=number) | TurnEnded(turn=number):
                self._stopped(number)
                isolated(self._on_turn, number, event)
            case _:
                isolated(self._on_turn, event.turn, event)

    def _lose(self, why: EngineError) -> None:
        """Forget what was loaded and fail everybody who waits for an answer."""
        self._card = None
        self._memory = MemoryReport()
        self._gone = why
        self._fail_future(self._loading, why)
        for answer in self._calls.values():
            self._fail_future(answer, why)
        for turn in tuple(self._stopping):
            self._stopped(turn)

    def _stopped(self, turn: int) -> None:
        timer = self._stopping.pop(turn, None)
        if timer is not None:
            timer.cancel()

    @staticmethod
    def _fail_future(future: asyncio.Future[Any] | None, error: EngineError) -> None:
        if future is not None and not future.done():  # else its caller has gone
            future.set_exception(error)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosedError
