"""Loads under way, and everybody who waits for them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from koel_tui.engine.callbacks import isolated
from koel_tui.engine.shared_task import SharedTask

ProgressCallback = Callable[[float], None]


class Closable(Protocol):
    """What is loaded: it is closed when nobody is left to take it."""

    async def close(self) -> None:
        """Give back what it holds."""
        ...


E = TypeVar("E", bound=Closable)


class SingleFlight(Generic[E]):
    """One load shared by its callers: one result, or one error, for all of them.

    It is called off when the last caller is cancelled, and `landed` called when nobody may join
    any more.
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
        """Wait for the load and return what was loaded. Raises what the load raised."""
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
        self._landed()  # before anything is awaited: who comes now starts a load of his own
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await (await self._task.result()).close()

    def _tell(self, fraction: float) -> None:
        for listener in tuple(self._listeners):
            isolated(listener, fraction)


class SingleFlights:
    """The loads under way, by what makes two of them the same."""

    def __init__(self) -> None:
        # Weak, so that a loop that ended in the middle of a load leaves nothing behind.
        self._flying: WeakValueDictionary[Hashable, SingleFlight[Any]] = WeakValueDictionary()

    async def join(
        self,
        key: Hashable,
        load: Callable[[ProgressCallback], Awaitable[E]],
        on_progress: ProgressCallback | None,
    ) -> E:
        """Return what the load under `key` returns, which is begun unless it is under way."""
        flight: SingleFlight[E] | None = self._flying.get(key)
        if flight is None:
            flight = SingleFlight(load, lambda: self._landed(key, flight))
            self._flying[key] = flight
        return await flight.join(on_progress)

    def _landed(self, key: Hashable, flight: SingleFlight[Any] | None) -> None:
        if self._flying.get(key) is flight:  # else one that was called off, and a newer one
            self._flying.pop(key, None)
