"""Painting not more often than the eye needs, and always once after the last change."""

from collections.abc import Awaitable, Callable
from time import monotonic

from textual.message_pump import MessagePump

Flush = Callable[[], Awaitable[None]]
Schedule = Callable[[float, Flush], object]

_SOON = 0.001
"""As soon as possible; a Textual timer of no length at all fails."""


def in_queue_of(pump: MessagePump) -> Schedule:
    """Return what runs callbacks later in the message queue of `pump`, one at a time.

    A timer alone would run them beside the queue: between two steps of what runs there, and cut
    off half-way when the widget goes.
    """
    return lambda delay, flush: pump.set_timer(max(_SOON, delay), lambda: pump.call_later(flush))


class Throttle:
    """Calls `flush` after a poke, at most once every `interval` seconds; no poke is lost.

    The interval counts from the end of a flush, so a slow flush leaves time for keys.
    """

    def __init__(self, schedule: Schedule, flush: Flush, interval: float) -> None:
        self._schedule = schedule
        self._flush = flush
        self._interval = interval
        self._waiting = False
        self._flushed_at = float("-inf")

    def poke(self) -> None:
        """Ask for a flush; pokes until it starts are one."""
        if not self._waiting:
            self._waiting = True
            self._schedule(max(0.0, self._flushed_at + self._interval - monotonic()), self._run)

    async def _run(self) -> None:
        # Cleared first: what changes while the flush runs asks for another one.
        self._waiting = False
        try:
            await self._flush()
        finally:
            self._flushed_at = monotonic()
