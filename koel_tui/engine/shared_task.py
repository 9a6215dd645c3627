"""Tasks that several callers await."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedTask(Generic[T]):
    """A task with several waiters; cancelling one waiter does not affect the task or the others.

    Not `asyncio.shield`, which reports an error as unhandled if its caller was cancelled before.
    """

    def __init__(self, work: Coroutine[Any, Any, T], name: str) -> None:
        self._task = asyncio.create_task(work, name=name)
        self._task.add_done_callback(_consume_exception)

    @property
    def done(self) -> bool:
        """True if the task has ended, in any way."""
        return self._task.done()

    def cancel(self) -> None:
        """Cancel the task."""
        self._task.cancel()

    async def wait(self) -> None:
        """Wait for the end of the task without raising its error."""
        await asyncio.wait([self._task])

    async def result(self) -> T:
        """Return the result of the task, or raise its error."""
        await self.wait()
        return self._task.result()


class SharedCall(Generic[T]):
    """A call that runs once at a time; callers that join while it runs share its result or error.

    Cancelling a caller does not cancel the call, also if no caller is left.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: SharedTask[T] | None = None

    async def join(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of the running call, or of `work` if none is running."""
        if self._task is None or self._task.done:
            self._task = SharedTask(work(), self._name)
        return await self._task.result()

    async def wait(self) -> None:
        """Wait until no call is running, without raising its error."""
        if self._task is not None:
            await self._task.wait()

    async def cancel(self) -> None:
        """Cancel the running call, and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            await self._task.wait()


def _consume_exception(task: asyncio.Task[Any]) -> None:
    """Retrieve the error, so that asyncio does not log it if there is no waiter left."""
    if not task.cancelled():
        task.exception()
