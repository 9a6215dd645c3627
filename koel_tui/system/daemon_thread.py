"""Work in a thread that the end of the program does not wait for."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_daemon(work: Callable[[], T], name: str) -> T:
    """Return what `work` returns, done in a thread of this name. Raises what it raises.

    The end of the program would wait for any other kind of thread, however long its work takes.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # now only the thread ends it

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # for whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)
