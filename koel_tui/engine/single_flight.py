"""Deduplication of concurrent loads (single flight)."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from koel_tui.engine.callbacks import isolated
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

    It is cancelled with its last caller. `landed` is called when no further caller may join.
    """

    def __init__(
        self, load: Callable[[ProgressCallback], Awaitable[E]], landed: Callable[[], None]
    ) -> None:
        self._landed = landed
        self._listeners: list[ProgressCallback] = []
        self._waiting = 0
        self._taken = False
        self._task = SharedTask(self._fly(load), "model load")

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
            if self._waiting == 1 and not self._taken:
                await self._call_off()
            raise
        finally:
            self._waiting -= 1
        self._taken = True
        return loaded

    async def _fly(self, load: Callable[[ProgressCallback], Awaitable[E]]) -> E:
        try:
            return await load(self._tell)
        finally:
            self._landed()

    async def _call_off(self) -> None:
        self._landed()  # before the first await, so that a new caller starts a new load
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await (await self._task.result()).close()

    def _tell(self, fraction: float) -> None:
        for listener in tuple(self._listeners):
            isolated(listener, fraction)


class SingleFlights:
    """The running loads by key; equal keys share a load."""

    def __init__(self) -> None:
        # Weak references, so that a load of a closed event loop does not stay here.
        self._flying: WeakValueDictionary[Hashable, SingleFlight[Any]] = WeakValueDictionary()

    async def join(
        self,
        key: Hashable,
        load: Callable[[ProgressCallback], Awaitable[E]],
        on_progress: ProgressCallback | None,
    ) -> E:
        """Return the result of the load with `key`; start the load if it is not running."""
        flight: SingleFlight[E] | None = self._flying.get(key)
        if flight is None:
            flight = SingleFlight(load, lambda: self._landed(key, flight))
            self._flying[key] = flight
        return await flight.join(on_progress)

    def _landed(self, key: Hashable, flight: SingleFlight[Any] | None) -> None:
        if self._flying.get(key) is flight:  # false for a cancelled load that was replaced
            self._flying.pop(key, None)
