"""The transport between an engine and its worker."""

from collections.abc import Callable
from typing import Protocol

from koel_tui.engine.wire_messages import Command, Event


class Transport(Protocol):
    """An ordered, two-way channel to one worker.

    Commands arrive in the order sent. `receive` is called on the event loop, in the order of
    the events; `Crashed` is the last event until the transport is opened again.
    """

    async def open(self, receive: Callable[[Event], None]) -> None:
        """Start the worker. Raises `EngineError` on failure."""
        ...

    def send(self, command: Command) -> None:
        """Send a command without waiting; drop it if no worker runs.

        Raises `UnsupportedError` or `EngineError` if the command cannot be serialized.
        """
        ...

    def kill(self, reason: str) -> None:
        """Kill a hanging worker, if possible; `Crashed` then has `reason`."""
        ...

    async def close(self) -> None:
        """End the worker and wait for its end. Idempotent."""
        ...
