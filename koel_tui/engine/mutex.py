"""The generation mutex: who may generate now, and who is next, first come first served."""

from collections import deque
from collections.abc import Callable


class Ticket:
    """One caller's place: waiting, holding a permit, or done."""

    def __init__(self, moved: Callable[[int], None]) -> None:
        self._moved = moved

    def move(self, position: int) -> None:
        """Tell the caller its place: 0 holds a permit, 1 is next in line."""
        self._moved(position)


class GenerationMutex:
    """A first-come-first-served mutex with `permits` permits.

    A permit is given back only by the ticket that holds it, so a caller that leaves the line
    releases nothing and a late release cannot end somebody else's turn.
    """

    def __init__(self, permits: int = 1) -> None:
        if permits < 1:
            raise ValueError(f"parallel must be at least 1, not {permits}")
        self._free = permits
        self._line: deque[Ticket] = deque()
        self._held: set[Ticket] = set()

    def enter(self, moved: Callable[[int], None]) -> Ticket:
        """Join the line. `moved` hears the place, now and whenever it changes; 0 is a permit."""
        ticket = Ticket(moved)
        self._line.append(ticket)
        if not self._admit():
            ticket.move(len(self._line))
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the permit back, or leave the line. Doing it twice does nothing."""
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
        """Hand out free permits; return whether anybody got one."""
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
        """How many permits are held."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._line)
