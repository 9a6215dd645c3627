"""Painting not more often than the eye needs, and always once after the last change."""

from collections.abc import Awaitable, Callable
from time import monotonic

_SOON = 0.001
"""As soon as possible; a Textual timer of no length at all fails."""


class Throttle:
    """Calls `flush` after a poke, at most once every `interval` seconds; no poke is lost.

    The interval counts from the end of a flush, so a slow flush leaves time for keys.
    `schedule(delay, callback)` runs the callback later, one at a time: `Widget.set_timer` does.
    """

    def __init__(
        self,
        schedule: Callable[[float, Callable[[], Awaitable[None]]], object],
        flush: Callable[[], Awaitable[None]],
        interval: float,
    ) -> None:
        self._schedule = schedule
        self._flush = flush
        self._interval = interval
        self._waiting = False
        self._flushed_at = float("-inf")

    def poke(self) -> None:
        """Ask for a flush; pokes until it starts are one."""
        if not self._waiting:
            self._waiting = True
            delay = max(_SOON, self._flushed_at + self._interval - monotonic())
            self._schedule(delay, self._run)

    async def _run(self) -> None:
        # Cleared first: what changes while the flush runs asks for another one.
        self._waiting = False
        try:
            await self._flush()
        finally:
            self._flushed_at = monotonic()
