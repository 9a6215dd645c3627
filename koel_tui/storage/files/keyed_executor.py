"""Execution of blocking jobs in worker threads, in sequence per key."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class KeyedExecutor:
    """Runs jobs in worker threads; the jobs of one key run in the order of submission.

    A submitted job always runs to completion, also if its caller is cancelled, because its progress
    is unknown and the next job of its key must not overlap it.
    """

    def __init__(self) -> None:
        self._last_tasks: dict[str, asyncio.Task[Any]] = {}

    async def run(self, key: str, job: Callable[[], T]) -> T:
        """Run `job` after the previous jobs of `key`; return its result or raise its error."""
        task = asyncio.create_task(_run_after(self._last_tasks.get(key), job))
        self._last_tasks[key] = task
        task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._last_tasks.get(key) is task:
            del self._last_tasks[key]


async def _run_after(previous: asyncio.Task[Any] | None, job: Callable[[], T]) -> T:
    if previous is not None:
        await asyncio.wait([previous])
    return await asyncio.to_thread(job)
