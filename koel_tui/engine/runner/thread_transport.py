"""The transport to a worker on a thread of this process."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from koel_tui.engine.native.worker import Worker
from koel_tui.engine.wire_messages import (
    HEADER,
    Command,
    Crashed,
    Event,
    Shutdown,
    command_codec,
    error_reply,
)


class ThreadTransport:
    """Transport to a worker on one thread of this process, without isolation.

    Commands are serialized and parsed as for the runner process, so both refuse the same values.
    """

    def __init__(self) -> None:
        self._commands = command_codec()
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None

    async def open(self, receive: Callable[[Event], None]) -> None:
        """Start the thread."""
        loop = asyncio.get_running_loop()

        def emit(event: Event) -> None:
            with suppress(RuntimeError):  # the event loop is closed
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
        """Post a command. Raises `EngineError` if it cannot be serialized."""
        body = self._commands.encode(command)[HEADER.size :]
        if self._worker is None:
            return
        try:
            self._worker.post(self._commands.decode(body))
        except ValueError as error:
            answer = error_reply(body, error)
            if answer is not None:
                self._worker.post(answer)

    def kill(self, reason: str) -> None:
        """Do nothing, because a thread cannot be killed."""

    async def close(self) -> None:
        """End the thread and wait for it."""
        thread, self._thread = self._thread, None
        self.send(Shutdown())
        if thread is not None:
            await asyncio.to_thread(thread.join)
