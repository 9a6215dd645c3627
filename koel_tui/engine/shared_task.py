"""Work that several callers wait for."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedTask(Generic[T]):
    """A task whose result or error goes to everybody who asks, and who of them leaves is no matter.

    Not `asyncio.shield`: that reports an error that came after its caller had left as unhandled.
    """

    def __init__(self, work: Coroutine[Any, Any, T], name: str) -> None:
        self._task = asyncio.create_task(work, name=name)
        self._task.add_done_callback(_look_at)

    @property
    def done(self) -> bool:
        """Whether it has ended, one way or another."""
        return self._task.done()

    def cancel(self) -> None:
        """Ask the work itself to end."""
        self._task.cancel()

    async def settle(self) -> None:
        """Wait for the end, however it comes."""
        await asyncio.wait([self._task])

    async def result(self) -> T:
        """Wait for the result. Raises what the work raised."""
        await self.settle()
        return self._task.result()


def _look_at(task: asyncio.Task[Any]) -> None:
    """Take note of the error, so that it is not reported when all callers have gone."""
    if not task.cancelled():
        task.exception()
