"""The generation mutex: a FIFO queue of turns for a limited number of permits."""

from collections import deque
from collections.abc import Callable


class Ticket:
    """One caller's state: waiting, holding a permit, or done."""

    def __init__(self, on_position: Callable[[int], None]) -> None:
        self._on_position = on_position

    def report_position(self, position: int) -> None:
        """Report the queue position: 0 holds a permit, 1 is next."""
        self._on_position(position)


class GenerationMutex:
    """A first-come-first-served semaphore with `permits` permits.

    Only the ticket that holds a permit releases it, so a caller that leaves the queue releases
    nothing, and a late release cannot end another caller's turn. `on_idle` is called when
    the last caller that held a permit or waited has left.
    """

    def __init__(self, permits: int = 1, on_idle: Callable[[], None] = lambda: None) -> None:
        if permits < 1:
            raise ValueError(f"parallel must be at least 1, not {permits}")
        self._free_permits = permits
        self._on_idle = on_idle
        self._queue: deque[Ticket] = deque()
        self._holders: set[Ticket] = set()

    def enter(self, on_position: Callable[[int], None]) -> Ticket:
        """Join the queue. `on_position` gets the position now and at each change; 0 is a permit."""
        ticket = Ticket(on_position)
        self._queue.append(ticket)
        if not self._grant():
            ticket.report_position(len(self._queue))
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Release the permit, or leave the queue. Idempotent."""
        if ticket in self._holders:
            self._holders.remove(ticket)
            self._free_permits += 1
        elif ticket in self._queue:
            self._queue.remove(ticket)
        else:
            return
        self._grant()
        for position, waiting in enumerate(self._queue, start=1):
            waiting.report_position(position)
        if self.is_idle:
            self._on_idle()

    def _grant(self) -> bool:
        """Grant free permits; return whether any was granted."""
        granted = False
        while self._free_permits and self._queue:
            first = self._queue.popleft()
            self._free_permits -= 1
            self._holders.add(first)
            first.report_position(0)
            granted = True
        return granted

    @property
    def is_idle(self) -> bool:
        """True if no caller holds a permit or waits."""
        return not (self._holders or self._queue)

    @property
    def held(self) -> int:
        """Number of held permits."""
        return len(self._holders)

    @property
    def waiting(self) -> int:
        """Number of waiting callers."""
        return len(self._queue)
