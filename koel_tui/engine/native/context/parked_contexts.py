"""Host memory for the contexts of sessions that have no slot just now."""

from collections import OrderedDict
from dataclasses import dataclass

from koel_tui.engine.native.context.host_buffer import Buffer


@dataclass(frozen=True, slots=True)
class Parked:
    """A context outside its slot: its tokens, in order, and llama.cpp's bytes for them."""

    tokens: list[int]
    state: Buffer


class ParkedContexts:
    """The parked contexts by session, the least recently parked leaving first beyond the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._parked: OrderedDict[int, Parked] = OrderedDict()

    def park(self, session: int, parked: Parked) -> None:
        """Keep a session's context; one too large for the whole lot is not kept."""
        self.drop(session)
        self._parked[session] = parked
        while self._bytes() > self._limit:
            self._parked.popitem(last=False)

    def take(self, session: int) -> Parked | None:
        """Return a session's context and forget it here; None when there is none."""
        return self._parked.pop(session, None)

    def look(self, session: int) -> Parked | None:
        """Return a session's context and keep it; None when there is none."""
        return self._parked.get(session)

    def drop(self, session: int) -> None:
        """Forget a session's context."""
        self._parked.pop(session, None)

    def sizes(self) -> dict[int, int]:
        """Return the bytes of each parked session."""
        return {session: len(parked.state) for session, parked in self._parked.items()}

    def _bytes(self) -> int:
        return sum(len(parked.state) for parked in self._parked.values())
