"""Gaps between the sequences that are decoded together.

llama.cpp decodes sequences together only if their numbers are consecutive. Others are decoded one
after the other, which takes as long as if each turn waited for the one before.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.context.slots import Slot

_ASSUMED_BYTES_PER_S = 0.5e9
"""The speed of moving a state: one copy out of the context and one back."""
_LOST_SHARE = 0.5
"""The time that a group less saves, relative to the time of a group."""


def count_groups(sequences: Iterable[int]) -> int:
    """Return the number of groups of consecutive numbers."""
    numbers = set(sequences)
    return sum(number - 1 not in numbers for number in numbers)


def plan_exchanges(sequences: Collection[int], tokens: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return the exchanges that make sequences consecutive, with the fewest moved tokens.

    `tokens` has the number of tokens of every sequence of the context.
    """
    best: list[tuple[int, int]] = []
    best_cost = None
    for first in range(len(tokens) - len(sequences) + 1):
        window = range(first, first + len(sequences))
        outside = [each for each in sorted(sequences) if each not in window]
        replaced = [each for each in window if each not in sequences]
        cost = sum(tokens[each] for each in (*outside, *replaced))
        if best_cost is None or cost < best_cost:
            best, best_cost = list(zip(outside, replaced, strict=True)), cost
    return best


class SequenceGaps:
    """Closes the gaps between sequences as soon as they have cost as much time as that takes."""

    def __init__(self, context: Context, slots: Iterable[Slot], bytes_per_token: int) -> None:
        self._context = context
        self._slots = slots
        self._bytes_per_token = bytes_per_token
        self._lost_s = 0.0

    def record(self, decoded: Sequence[Slot], seconds: float) -> None:
        """Learn that a token of each slot in `decoded` was decoded in `seconds`."""
        groups = count_groups(slot.sequence for slot in decoded)
        if groups < 2:
            return
        self._lost_s += seconds * (groups - 1) / groups * _LOST_SHARE
        slots = {slot.sequence: slot for slot in self._slots}
        tokens = {sequence: slot.parts.tokens for sequence, slot in slots.items()}
        exchanges = plan_exchanges([slot.sequence for slot in decoded], tokens)
        moved = sum(tokens[each] for exchange in exchanges for each in exchange)
        if moved * self._bytes_per_token <= self._lost_s * _ASSUMED_BYTES_PER_S:
            self._lost_s = 0.0
            for one, other in exchanges:
                self._exchange(slots[one], slots[other])

    def _exchange(self, one: Slot, other: Slot) -> None:
        """Exchange the sequences of two slots. Raises MemoryError; nothing is changed then."""
        held = [
            (slot, slot.parts.copy(), self._context.copy_state(slot.sequence))
            for slot in (one, other)
            if slot.parts
        ]
        # If a native call fails, the slots claim no tokens that they do not hold.
        for slot in (one, other):
            slot.parts.clear()
        one.sequence, other.sequence = other.sequence, one.sequence
        for slot in (one, other):
            self._context.clear(slot.sequence)
        for slot, parts, state in held:
            if self._context.load_state(slot.sequence, state):
                slot.parts.extend(parts)
