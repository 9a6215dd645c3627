"""How an engine reaches its native side, wherever that runs."""

from collections.abc import Callable
from typing import Protocol

from koel_tui.engine.wire_messages import Command, Event


class Transport(Protocol):
    """An ordered, two-way channel to one native side.

    Commands arrive in the order sent. `receive` is called on the event loop, in the order of
    the events; after `Crashed` nothing more comes until the link is opened again.
    """

    async def open(self, receive: Callable[[Event], None]) -> None:
        """Start the native side. Raises `EngineError` when it cannot be started."""
        ...

    def send(self, command: Command) -> None:
        """Pass a command on without waiting; silently dropped when nothing is there.

        Raises `UnsupportedError` or `EngineError` when it cannot be encoded.
        """
        ...

    def kill(self, why: str) -> None:
        """End a native side that does not obey, if that can be done: `Crashed` then says `why`."""
        ...

    async def close(self) -> None:
        """End the native side and wait until it is gone. Idempotent."""
        ...
