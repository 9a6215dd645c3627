"""Which session's tokens are in which sequence of the context. Pure bookkeeping."""

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True)
class Slot:
    """One sequence of the context: whose it is and which tokens it holds, in order."""

    sequence: int
    session: int | None = None
    tokens: list[int] = field(default_factory=list)


class SlotTable:
    """A fixed number of slots, given to sessions; the least recently used one is taken over."""

    def __init__(self, count: int) -> None:
        self._slots = [Slot(sequence) for sequence in range(count)]  # least recently used first

    def claim(self, session: int, busy: Collection[int]) -> Slot:
        """Return the slot of `session`, or else the one that is best given to it.

        Its own comes first, then an empty one, then the least recently used that no session in
        `busy` holds. Raises `LookupError` when every slot is busy.
        """
        slot = self._own(session) or self._free(busy)
        if slot is None:
            raise LookupError("every slot is busy")
        self._slots.remove(slot)
        self._slots.append(slot)
        slot.session = session
        return slot

    def release(self, session: int) -> Slot | None:
        """Take the slot away from `session` and return it, emptied; None when it has none."""
        slot = self._own(session)
        if slot is not None:
            slot.session = None
            slot.tokens.clear()
            self._slots.remove(slot)
            self._slots.insert(0, slot)
        return slot

    def _own(self, session: int) -> Slot | None:
        return next((slot for slot in self._slots if slot.session == session), None)

    def _free(self, busy: Collection[int]) -> Slot | None:
        idle = [slot for slot in self._slots if slot.session not in busy]
        return next((slot for slot in idle if slot.session is None), idle[0] if idle else None)


def common_prefix(held: list[int], wanted: list[int]) -> int:
    """Return how many tokens at the start of both lists are the same."""
    shorter = min(len(held), len(wanted))
    if held[:shorter] == wanted[:shorter]:
        return shorter
    return next(index for index in range(shorter) if held[index] != wanted[index])


def slot_count(
    *, free_bytes: int, slot_bytes: int, parallel: int, max_sessions: int | None, most: int = 64
) -> int:
    """Return how many slots to make: as many as fit a quarter of the free memory.

    At least `parallel` + 1, so that a background job finds one, and no more than `max_sessions`
    needs or `most`, llama.cpp's own limit being 256.
    """
    fitting = free_bytes // 4 // max(1, slot_bytes)
    wanted = min(fitting, most if max_sessions is None else max_sessions, most)
    return max(wanted, parallel + 1)
