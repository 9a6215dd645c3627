"""Which session's tokens are in which sequence of the context. Pure bookkeeping."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Slot:
    """One sequence of the context: whose it is and which tokens it holds, in order.

    `lora` is the adapter they were decoded with: the same tokens under another one are not the
    same context.
    """

    sequence: int
    session: int | None = None
    lora: Path | None = None
    tokens: list[int] = field(default_factory=list)


class SlotTable:
    """A fixed number of slots, given to sessions; the least recently used one is taken over."""

    def __init__(self, count: int) -> None:
        self._slots = [Slot(sequence) for sequence in range(count)]  # least recently used first

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def own(self, session: int) -> Slot | None:
        """Return the slot of `session`, now the most recently used; None when it has none."""
        slot = next((slot for slot in self._slots if slot.session == session), None)
        if slot is not None:
            self._touch(slot)
        return slot

    def spare(self, busy: Collection[int]) -> Slot:
        """Return the slot best given away: the first that is free, or the least recently used.

        The first, because llama.cpp decodes sequences together only while they are neighbours.
        Never one of a session in `busy`. Raises `LookupError` when there is no other.
        """
        idle = [slot for slot in self._slots if slot.session not in busy]
        if not idle:
            raise LookupError("every slot is busy")
        free = [slot for slot in idle if slot.session is None]
        slot = min(free, key=lambda slot: slot.sequence, default=idle[0])
        self._touch(slot)
        return slot

    def release(self, slot: Slot) -> None:
        """Take a slot away from its session; it is empty."""
        slot.session = slot.lora = None
        slot.tokens.clear()

    def _touch(self, slot: Slot) -> None:
        self._slots.remove(slot)
        self._slots.append(slot)


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

    At least `parallel`, and no more than `max_sessions` and the background session need, or `most`,
    llama.cpp's own limit being 256.
    """
    fitting = free_bytes // 4 // max(1, slot_bytes)
    wanted = min(fitting, most if max_sessions is None else max_sessions + 1, most)
    return max(wanted, parallel)
