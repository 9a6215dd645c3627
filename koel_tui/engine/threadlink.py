"""The link to a worker on a thread of this process."""

import asyncio
import threading
from collections.abc import Callable

from koel_tui.engine.frames import Command, Crashed, Event, Shutdown
from koel_tui.engine.native.worker import Worker


class ThreadLink:
    """Runs the native side on one thread here: no isolation, nothing between caller and model."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None

    async def open(self, receive: Callable[[Event], None]) -> None:
        """Start the thread."""
        loop = asyncio.get_running_loop()

        def emit(event: Event) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(receive, event)

        def work(worker: Worker) -> None:
            try:
                worker.run()
            except Exception as error:
                emit(Crashed(f"The engine thread ended: {error!r}."))
                raise

        worker = Worker(emit)
        self._worker = worker
        self._thread = threading.Thread(
            target=work, args=(worker,), name="koel engine", daemon=True
        )
        self._thread.start()

    def send(self, command: Command) -> None:
        """Hand a command to the thread."""
        if self._worker is not None:
            self._worker.post(command)

    def kill(self, why: str) -> None:
        """Do nothing: a thread cannot be ended from outside."""

    async def close(self) -> None:
        """End the thread and wait for it."""
        thread, self._thread = self._thread, None
        self.send(Shutdown())
        if thread is not None:
            await asyncio.to_thread(thread.join)
