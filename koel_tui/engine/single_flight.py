"""Deduplication of concurrent loads (single flight)."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from koel_tui.engine.callbacks import call_isolated
from koel_tui.engine.shared_task import SharedTask

ProgressCallback = Callable[[float], None]


class Closable(Protocol):
    """A loaded object; it is closed if all its callers were cancelled."""

    async def close(self) -> None:
        """Free the resources."""
        ...


E = TypeVar("E", bound=Closable)


class SingleFlight(Generic[E]):
    """One load shared by its callers: one result, or one error, for all of them.

    It is cancelled with its last caller. `on_finished` is called when no further caller may join.
    """

    def __init__(
        self, load: Callable[[ProgressCallback], Awaitable[E]], on_finished: Callable[[], None]
    ) -> None:
        self._on_finished = on_finished
        self._listeners: list[ProgressCallback] = []
        self._waiting = 0
        self._is_delivered = False
        self._task = SharedTask(self._run(load), "model load")

    async def join(self, on_progress: ProgressCallback | None) -> E:
        """Return the loaded object, or raise the error of the load."""
        self._waiting += 1
        if on_progress is not None:
            self._listeners.append(on_progress)
        try:
            loaded = await self._task.result()
        except asyncio.CancelledError:
            if on_progress is not None:
                self._listeners.remove(on_progress)
            if self._waiting == 1 and not self._is_delivered:
                await self._cancel()
            raise
        finally:
            self._waiting -= 1
        self._is_delivered = True
        return loaded

    async def _run(self, load: Callable[[ProgressCallback], Awaitable[E]]) -> E:
        try:
            return await load(self._report)
        finally:
            self._on_finished()

    async def _cancel(self) -> None:
        self._on_finished()  # before the first await, so that a new caller starts a new load
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await (await self._task.result()).close()

    def _report(self, fraction: float) -> None:
        for listener in tuple(self._listeners):
            call_isolated(listener, fraction)


class SingleFlights:
    """The running loads by key; equal keys share a load."""

    def __init__(self) -> None:
        # Weak references, so that a load of a closed event loop does not stay here.
        self._running: WeakValueDictionary[Hashable, SingleFlight[Any]] = WeakValueDictionary()

    async def join(
        self,
        key: Hashable,
        load: Callable[[ProgressCallback], Awaitable[E]],
        on_progress: ProgressCallback | None,
    ) -> E:
        """Return the result of the load with `key`; start the load if it is not running."""
        flight: SingleFlight[E] | None = self._running.get(key)
        if flight is None:
            flight = SingleFlight(load, lambda: self._on_finished(key, flight))
            self._running[key] = flight
        return await flight.join(on_progress)

    def _on_finished(self, key: Hashable, flight: SingleFlight[Any] | None) -> None:
        if self._running.get(key) is flight:  # false for a cancelled load that was replaced
            self._running.pop(key, None)
