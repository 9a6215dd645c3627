"""The slot table: which session's prompt is in which sequence. It makes no native calls."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from koel_tui.engine.native.context.prompt_parts import PromptParts


@dataclass(slots=True)
class Slot:
    """One sequence of the context: its session and the parts of the prompt it holds, in order.

    `lora` is the adapter they were decoded with: the same parts with another adapter are another
    context.
    """

    sequence: int
    session: int | None = None
    lora: Path | None = None
    parts: PromptParts = field(default_factory=PromptParts)


class SlotTable:
    """The slots for sessions; the least recently used one is reassigned."""

    def __init__(self, count: int) -> None:
        self._slots: list[Slot] = []  # least recently used first
        self.replace_all(count)

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def replace_all(self, count: int) -> None:
        """Drop all slots, and create `count` free ones."""
        self._slots[:] = [Slot(sequence) for sequence in range(count)]

    def get(self, session: int) -> Slot | None:
        """Return the slot of `session`, now the most recently used; None if it has none."""
        slot = next((slot for slot in self._slots if slot.session == session), None)
        if slot is not None:
            self._touch(slot)
        return slot

    def acquire(self, busy: Collection[int]) -> Slot:
        """Return the slot to reassign: the first free one, else the least recently used one.

        The first free one is best, because llama.cpp decodes sequences together only if they are
        neighbours. Slots of sessions in `busy` are never returned. Raises `LookupError` when there
        is no other.
        """
        idle = [slot for slot in self._slots if slot.session not in busy]
        if not idle:
            raise LookupError("every slot is busy")
        free = [slot for slot in idle if slot.session is None]
        slot = min(free, key=lambda slot: slot.sequence, default=idle[0])
        self._touch(slot)
        return slot

    def release(self, slot: Slot) -> None:
        """Empty a slot and remove its session."""
        slot.session = slot.lora = None
        slot.parts.clear()

    def _touch(self, slot: Slot) -> None:
        self._slots.remove(slot)
        self._slots.append(slot)


def slot_count(
    *,
    free_bytes: int,
    slot_bytes: int,
    parallel: int,
    max_sessions: int | None,
    max_slots: int = 64,
) -> int:
    """Return the maximum number of slots: as many as fit a quarter of the free memory.

    At least `parallel`. At most `max_slots` (llama.cpp's own limit is 256), and at most one for
    each of `max_sessions` and one for the background session.
    """
    affordable = free_bytes // 4 // max(1, slot_bytes)
    count = min(affordable, max_slots if max_sessions is None else max_sessions + 1, max_slots)
    return max(count, parallel)
