"""Throttling of repaints, with a guaranteed repaint after the last change."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic, thread_time

from textual.message_pump import MessagePump
from textual.widget import Widget

from koel_tui.ui import internals

Flush = Callable[[], Awaitable[None]]
Schedule = Callable[[float, Flush], object]
Clock = Callable[[], float]


def cpu_share_for(processors: int) -> float:
    """Return the share of its thread's time that painting may take, from 0 to 1.

    Inference uses every core, and each token waits for the slowest one. On two cores, CPU time
    spent painting is lost to decode almost one for one. The share is at most 1/4 on any machine,
    because key input waits while the app paints.
    """
    return min(processors / 48, 1 / 4)


CPU_SHARE = cpu_share_for(os.cpu_count() or 1)
_MAX_PERIOD = 0.5
"""The maximum seconds between two requested flushes, however expensive they are."""


def queue_scheduler(pump: MessagePump) -> Schedule:
    """Return a scheduler that runs callbacks in the message queue of `pump`, one at a time.

    A timer alone would run them outside the queue: concurrently with a message handler, and
    cancelled half-way when the widget is removed. A timer of Textual would also skip its only call
    if the process was suspended for longer than the delay.
    """
    return lambda delay, flush: asyncio.get_running_loop().call_later(delay, pump.call_later, flush)


def throttle_repaints(widget: Widget, flush: Flush, interval: float) -> "Throttle":
    """Return a throttle of the repaints of a widget, which run in its message queue."""
    clock = partial(internals.paint_seconds, widget)
    return Throttle(queue_scheduler(widget), flush, interval, paint_clock=clock)


def period(cost: float, interval: float, share: float) -> float:
    """Return the seconds from one flush to the next, given the CPU seconds that the first cost.

    It is `interval` while flushes are cheap, and longer if `share` requires it.
    """
    return max(interval, min(cost / share, _MAX_PERIOD))


class Throttle:
    """A throttle that calls `flush` after a request, at most once per `interval` seconds.

    No request is lost. `interval` may be changed at any time. Expensive flushes run less often. The
    cost of a flush is its own CPU time and that of the paints until the next one.
    """

    def __init__(
        self,
        schedule: Schedule,
        flush: Flush,
        interval: float,
        *,
        paint_clock: Clock = lambda: 0.0,
        share: float | None = None,
        clock: Clock = monotonic,
        cpu_clock: Clock = thread_time,
    ) -> None:
        """`paint_clock` returns the CPU seconds that paints have cost so far."""
        self._schedule = schedule
        self._flush = flush
        self.interval = interval
        self._paint_clock = paint_clock
        self._share = CPU_SHARE if share is None else share
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._is_scheduled = False
        self._started_at = float("-inf")
        self._flush_cost = self._painted_before = 0.0

    def request(self) -> None:
        """Request a flush; further requests until it starts are merged into it."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._schedule(max(0.0, self._remaining(self.interval)), self._run)

    def _remaining(self, seconds: float) -> float:
        return self._started_at + seconds - self._clock()

    async def _run(self) -> None:
        cost = self._flush_cost + self._paint_clock() - self._painted_before
        if (wait := self._remaining(period(cost, self.interval, self._share))) > 0:
            self._schedule(wait, self._run)  # it costs more by then if its paint is not done yet
        else:
            await self._start_flush()

    async def _start_flush(self) -> None:
        # Cleared before the flush, so that changes during it request another one.
        self._is_scheduled = False
        self._started_at, before = self._clock(), self._cpu_clock()
        self._painted_before = self._paint_clock()
        await self._flush()
        self._flush_cost = self._cpu_clock() - before
