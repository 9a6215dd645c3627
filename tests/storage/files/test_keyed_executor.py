"""The executor of file jobs: order of the jobs of one key, failures and cancellation."""

import asyncio
import threading
from functools import partial

import pytest

from koel_tui.storage.files.keyed_executor import KeyedExecutor


async def test_jobs_of_one_key_run_one_after_another_in_order() -> None:
    executor = KeyedExecutor()
    done: list[int] = []
    busy = threading.Lock()

    def job(number: int) -> int:
        assert busy.acquire(blocking=False)
        done.append(number)
        busy.release()
        return number

    results = await asyncio.gather(
        *(executor.run("k", partial(job, number)) for number in range(50))
    )
    assert results == done == list(range(50))


async def test_jobs_of_other_keys_do_not_wait() -> None:
    executor = KeyedExecutor()
    gate = threading.Event()
    waiting = asyncio.create_task(executor.run("slow", lambda: gate.wait(5)))
    assert await executor.run("fast", lambda: 1) == 1
    assert not waiting.done()
    gate.set()
    assert await waiting


async def test_a_failing_job_does_not_stop_its_key() -> None:
    executor = KeyedExecutor()
    failing = asyncio.create_task(executor.run("k", lambda: 1 // 0))
    after = asyncio.create_task(executor.run("k", lambda: 2))
    with pytest.raises(ZeroDivisionError):
        await failing
    assert await after == 2


async def test_a_job_whose_caller_is_cancelled_is_done_before_the_next() -> None:
    executor = KeyedExecutor()
    began, gate = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> None:
        began.set()
        gate.wait(5)
        done.append("first")

    first = asyncio.create_task(executor.run("k", slow))
    await asyncio.to_thread(began.wait, 5)
    first.cancel()
    second = asyncio.create_task(executor.run("k", lambda: done.append("second")))
    await asyncio.sleep(0)
    gate.set()
    await second
    assert done == ["first", "second"]
