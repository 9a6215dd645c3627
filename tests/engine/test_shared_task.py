"""Calls shared by several callers: one run, one result, one error."""

import asyncio
import gc
import logging

import pytest

from koel_tui.engine.shared_task import SharedCall, SharedTask
from tests.engine.scripted import until


class Work:
    """A coroutine function that returns when the test allows it."""

    def __init__(self) -> None:
        self.runs = 0
        self.cancelled = 0
        self.error: Exception | None = None
        self.may_end = asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        run = self.runs
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return run


async def callers(call: SharedCall[int], work: Work, count: int = 3) -> list[asyncio.Task[int]]:
    """Return tasks that wait for the same running call."""
    runs = work.runs
    tasks = [asyncio.create_task(call.join(work)) for _ in range(count)]
    await until(lambda: work.runs > runs)
    return tasks


async def test_callers_share_one_run_and_the_next_call_is_another() -> None:
    call, work = SharedCall[int]("work"), Work()
    tasks = await callers(call, work)
    work.may_end.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert await call.join(work) == 2


async def test_callers_share_an_error_and_the_next_call_tries_again() -> None:
    call, work = SharedCall[int]("work"), Work()
    tasks = await callers(call, work)
    work.error = OSError("no")
    work.may_end.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [work.error] * 3
    await call.wait()
    work.error = None
    assert await call.join(work) == 2


async def test_a_cancelled_caller_stops_neither_the_call_nor_the_others() -> None:
    call, work = SharedCall[int]("work"), Work()
    first, *others = await callers(call, work)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    work.may_end.set()
    assert await asyncio.gather(*others) == [1, 1]


async def test_a_call_whose_callers_are_all_cancelled_continues_and_can_be_joined() -> None:
    call, work = SharedCall[int]("work"), Work()
    tasks = await callers(call, work)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    late = asyncio.create_task(call.join(work))
    work.may_end.set()
    assert await late == 1
    assert (work.runs, work.cancelled) == (1, 0)


async def test_an_error_without_a_waiting_caller_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    call, work = SharedCall[int]("work"), Work()
    tasks = await callers(call, work)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    work.error = OSError("no")
    work.may_end.set()
    await call.wait()
    with caplog.at_level(logging.ERROR):
        del call, tasks
        gc.collect()
    assert caplog.records == []


async def test_a_cancelled_call_ends_before_the_return_and_cancels_its_callers() -> None:
    call, work = SharedCall[int]("work"), Work()
    tasks = await callers(call, work)
    await call.cancel()
    assert work.cancelled == 1
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    work.may_end.set()
    assert await call.join(work) == 2


async def test_without_a_call_there_is_nothing_to_wait_for_or_cancel() -> None:
    call = SharedCall[int]("work")
    await call.wait()
    await call.cancel()


async def test_waiting_for_a_cancelled_task_does_not_raise() -> None:
    work = Work()
    task = SharedTask(work(), "work")
    task.cancel()
    await task.wait()
    assert task.done
    with pytest.raises(asyncio.CancelledError):
        await task.result()
