"""The client of the worker: starts, calls, restarts and closes it."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from koel_tui.engine.callbacks import call_isolated
from koel_tui.engine.errors import EngineClosedError, EngineCrashedError, EngineError
from koel_tui.engine.restart_limiter import Restarts
from koel_tui.engine.runner.transport import Transport
from koel_tui.engine.shared_task import SharedCall
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

STOP_TIMEOUT_S = 60.0
"""Deadline in seconds for stopping a turn. A stop takes one decode step, in prefill too."""
_HANG_REASON = f"did not stop generating within {STOP_TIMEOUT_S:.0f} seconds and was killed"


class WorkerClient:
    """Client of one worker: loads the model once, matches answers to calls, forwards turn events.

    `on_turn` is called with the turn's number and event, `on_crash` when the worker has lost all
    state; the next call reloads the model.
    """

    def __init__(
        self,
        transport: Transport,
        load: Load,
        *,
        on_turn: Callable[[int, Event], None],
        on_crash: Callable[[EngineCrashedError], None],
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self._transport = transport
        self._load = load
        self._on_turn = on_turn
        self._on_crash = on_crash
        self._on_progress = on_progress
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Event]] = {}
        self._stopping: dict[int, asyncio.TimerHandle] = {}  # by turn number, until its end
        self._loading: asyncio.Future[ModelCard] | None = None
        self._starting = SharedCall[ModelCard]("engine start")
        self._card: ModelCard | None = None
        self._memory = MemoryReport()
        self._is_open = False
        self._restarts = Restarts()
        self._crash_reason = ""  # of the last crash
        self._unloaded_error: EngineError = EngineClosedError()  # why nothing is loaded
        self._closed = False

    @property
    def card(self) -> ModelCard | None:
        """The card of the loaded model; None while nothing is loaded."""
        return self._card

    @property
    def memory(self) -> MemoryReport:
        """The last reported RAM use; zeros while nothing is loaded."""
        return self._memory

    def number(self) -> int:
        """Return a new unique number for a call or turn."""
        return next(self._numbers)

    async def start(self) -> ModelCard:
        """Load the model if it is not loaded; concurrent callers share one load.

        Raises `ModelLoadError`, `EngineCrashedError` or `EngineClosedError`.
        """
        self._check_open()
        if self._card is not None:
            return self._card
        await self._starting.join(self._load_once)
        self._check_open()
        if self._card is None:  # the worker crashed since the end of the load
            raise self._unloaded_error
        return self._card

    async def call(self, make: Callable[[int], Command]) -> Event:
        """Send a command and return its answer; start the worker if necessary."""
        await self.start()
        return await self.request(make)

    def request(self, make: Callable[[int], Command]) -> asyncio.Future[Event]:
        """Send a command to the running worker at once; return a future of its answer."""
        number = self.number()
        answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._transport.send(make(number))
        self._calls[number] = answer
        answer.add_done_callback(lambda _: self._calls.pop(number, None))
        return answer

    def send(self, command: Command) -> None:
        """Send a command without an answer."""
        self._transport.send(command)

    def stop(self, turn: int) -> None:
        """Stop a turn; kill the worker if it does not stop within `STOP_TIMEOUT_S`."""
        if self._card is None:
            return  # the worker crashed, and the turn ended
        self._transport.send(StopTurn(turn))
        loop = asyncio.get_running_loop()
        self._stopping[turn] = loop.call_later(STOP_TIMEOUT_S, self._transport.kill, _HANG_REASON)

    async def close(self) -> None:
        """Fail every call and end the worker."""
        self._closed = True
        self._reset(EngineClosedError())
        # Wait first: a transport that is still opening would start a worker after `close`.
        await self._starting.wait()
        await self._transport.close()

    async def _load_once(self) -> ModelCard:
        if not self._is_open:  # else a worker runs, but its load failed
            self._restarts.count(asyncio.get_running_loop().time(), self._crash_reason)
            await self._transport.open(self._receive)
            self._is_open = True
        self._check_open()
        self._loading = asyncio.get_running_loop().create_future()
        self._transport.send(self._load)
        return await self._loading

    def _receive(self, event: Event) -> None:
        match event:
            case LoadProgress(fraction=fraction):
                if self._on_progress is not None:
                    call_isolated(self._on_progress, fraction)
            case Loaded(card=card):
                self._card = card
                if self._loading is not None and not self._loading.done():
                    self._loading.set_result(card)
            case MemoryChanged(report=report):
                self._memory = report
            case Crashed(message=message):
                self._is_open, self._crash_reason = False, message
                error = EngineCrashedError(message)
                self._reset(error)
                call_isolated(self._on_crash, error)
            case Failed(call=0):
                self._fail_future(self._loading, event.as_error())
            case Done(call=number) | Counted(call=number):
                answer = self._calls.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(event)
            case Failed(call=number) if number in self._calls:
                self._fail_future(self._calls[number], event.as_error())
            case Failed(call=number) | TurnEnded(turn=number):
                self._cancel_stop_timer(number)
                call_isolated(self._on_turn, number, event)
            case _:
                call_isolated(self._on_turn, event.turn, event)

    def _reset(self, error: EngineError) -> None:
        """Reset the loaded state and fail all pending calls."""
        self._card = None
        self._memory = MemoryReport()
        self._unloaded_error = error
        self._fail_future(self._loading, error)
        for answer in self._calls.values():
            self._fail_future(answer, error)
        for turn in tuple(self._stopping):
            self._cancel_stop_timer(turn)

    def _cancel_stop_timer(self, turn: int) -> None:
        timer = self._stopping.pop(turn, None)
        if timer is not None:
            timer.cancel()

    @staticmethod
    def _fail_future(future: asyncio.Future[Any] | None, error: EngineError) -> None:
        if future is not None and not future.done():  # done if its caller was cancelled
            future.set_exception(error)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosedError
