"""Work in a daemon thread, which the program does not wait for at exit."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def run_in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """Run `work` in a daemon thread and return its result. Raises what `work` raises.

    At exit Python waits for all other threads, regardless of how long their work takes.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # now it cannot be cancelled

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # raised in the waiting task
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)
