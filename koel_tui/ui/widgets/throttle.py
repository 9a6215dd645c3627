"""Painting not more often than the eye needs, and always once after the last change."""

import os
from collections.abc import Awaitable, Callable
from time import monotonic, thread_time

from textual.message_pump import MessagePump

Flush = Callable[[], Awaitable[None]]
Schedule = Callable[[float, Flush], object]
Clock = Callable[[], float]


def painting_share(processors: int) -> float:
    """Return how much of its thread's time painting may take, of one.

    The model computes on every processor, and each token waits for the slowest of them: with two,
    what painting takes is lost in tokens almost whole. More than a quarter is left to nobody, since
    whoever types waits for what is being painted.
    """
    return min(processors / 48, 1 / 4)


SHARE = painting_share(os.cpu_count() or 1)
_LONGEST = 0.5
"""Seconds between two flushes that are asked for, however dear they are."""
_SOON = 0.001
"""As soon as possible; a Textual timer of no length at all fails."""


def in_queue_of(pump: MessagePump) -> Schedule:
    """Return what runs callbacks later in the message queue of `pump`, one at a time.

    A timer alone would run them beside the queue: between two steps of what runs there, and cut
    off half-way when the widget goes.
    """
    return lambda delay, flush: pump.set_timer(max(_SOON, delay), lambda: pump.call_later(flush))


def period(cost: float, interval: float, share: float) -> float:
    """Return the seconds from one flush to the next when the first has cost so many of computing.

    As short as `interval` while a flush is cheap, and so long that it keeps to its share.
    """
    return max(interval, min(cost / share, _LONGEST))


class Throttle:
    """Calls `flush` after a poke, at most once every `interval` seconds; no poke is lost.

    The interval may be changed at any time. Dear flushes come less often. What one costs is known
    only when all it led to is painted: it is what the thread has computed by the time the next one
    could come.
    """

    def __init__(
        self,
        schedule: Schedule,
        flush: Flush,
        interval: float,
        *,
        share: float | None = None,
        clock: Clock = monotonic,
        computed: Clock = thread_time,
    ) -> None:
        self._schedule = schedule
        self._flush = flush
        self.interval = interval
        self._share = SHARE if share is None else share
        self._clock = clock
        self._computed = computed
        self._waiting = False
        self._began = float("-inf")
        self._computed_before = 0.0

    def poke(self) -> None:
        """Ask for a flush; pokes until it starts are one."""
        if not self._waiting:
            self._waiting = True
            self._schedule(max(0.0, self._wait(self.interval)), self._run)

    def _wait(self, seconds: float) -> float:
        return self._began + seconds - self._clock()

    async def _run(self) -> None:
        cost = self._computed() - self._computed_before
        if (wait := self._wait(period(cost, self.interval, self._share))) > 0:
            self._schedule(wait, self._begin)
        else:
            await self._begin()

    async def _begin(self) -> None:
        # Cleared first: what changes while the flush runs asks for another one.
        self._waiting = False
        self._began, self._computed_before = self._clock(), self._computed()
        await self._flush()
