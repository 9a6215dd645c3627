"""Blocking jobs off the event loop, those of one key one after another."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class KeyedExecutor:
    """Runs jobs in worker threads; the jobs of one key in the order they were given.

    A job that was given is done, even when its caller is cancelled: nothing can know how far it
    is, and the next one of its lane must not overtake it.
    """

    def __init__(self) -> None:
        self._last: dict[str, asyncio.Task[Any]] = {}

    async def run(self, key: str, job: Callable[[], T]) -> T:
        """Return what `job` returns, or raise what it raises."""
        task = asyncio.create_task(_after(self._last.get(key), job))
        self._last[key] = task
        task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._last.get(key) is task:
            del self._last[key]


async def _after(previous: asyncio.Task[Any] | None, job: Callable[[], T]) -> T:
    if previous is not None:
        await asyncio.wait([previous])
    return await asyncio.to_thread(job)
