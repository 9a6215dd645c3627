"""The generation mutex: a FIFO queue of turns for a limited number of permits."""

from collections import deque
from collections.abc import Callable


class Ticket:
    """One caller's state: waiting, holding a permit, or done."""

    def __init__(self, moved: Callable[[int], None]) -> None:
        self._moved = moved

    def move(self, position: int) -> None:
        """Report the queue position: 0 holds a permit, 1 is next."""
        self._moved(position)


class GenerationMutex:
    """A first-come-first-served semaphore with `permits` permits.

    Only the ticket that holds a permit releases it, so a caller that leaves the queue releases
    nothing, and a late release cannot end another caller's turn.
    """

    def __init__(self, permits: int = 1) -> None:
        if permits < 1:
            raise ValueError(f"parallel must be at least 1, not {permits}")
        self._free = permits
        self._line: deque[Ticket] = deque()
        self._held: set[Ticket] = set()

    def enter(self, moved: Callable[[int], None]) -> Ticket:
        """Join the queue. `moved` gets the position now and at each change; 0 is a permit."""
        ticket = Ticket(moved)
        self._line.append(ticket)
        if not self._admit():
            ticket.move(len(self._line))
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Release the permit, or leave the queue. Idempotent."""
        if ticket in self._held:
            self._held.remove(ticket)
            self._free += 1
        elif ticket in self._line:
            self._line.remove(ticket)
        else:
            return
        self._admit()
        for position, waiting in enumerate(self._line, start=1):
            waiting.move(position)

    def _admit(self) -> bool:
        """Grant free permits; return whether any was granted."""
        admitted = False
        while self._free and self._line:
            first = self._line.popleft()
            self._free -= 1
            self._held.add(first)
            first.move(0)
            admitted = True
        return admitted

    @property
    def held(self) -> int:
        """Number of held permits."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """Number of waiting callers."""
        return len(self._line)
