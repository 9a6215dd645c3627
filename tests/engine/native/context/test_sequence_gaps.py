"""Sequences that are decoded together are moved next to each other if this saves time."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine.native.context.prompt_parts import PromptParts
from koel_tui.engine.native.context.sequence_gaps import (
    SequenceGaps,
    count_groups,
    plan_exchanges,
)
from koel_tui.engine.native.context.slots import Slot

SEQUENCES = st.sets(st.integers(0, 9), min_size=1)
TOKENS = st.lists(st.integers(0, 5000), min_size=10, max_size=10).map(
    lambda tokens: dict(enumerate(tokens))
)


def held_tokens(slot: Slot) -> list[int]:
    """Return the tokens of a slot that contains only text."""
    return [part for part in slot.parts if isinstance(part, int)]


class States:
    """A fake context with a state for each sequence, which counts the copied bytes."""

    def __init__(self, slots: list[Slot]) -> None:
        self.states = {slot.sequence: bytes(held_tokens(slot)) for slot in slots}
        self.copied = 0
        self.fails = False

    def copy_state(self, sequence: int) -> bytes:
        self.copied += len(self.states[sequence])
        return self.states[sequence]

    def load_state(self, sequence: int, state: bytes) -> bool:
        self.states[sequence] = b"" if self.fails else state
        return not self.fails

    def clear(self, sequence: int) -> bool:
        self.states[sequence] = b""
        return True


def made(slots: list[Slot], bytes_per_token: int = 1) -> tuple[SequenceGaps, States]:
    context: Any = States(slots)
    return SequenceGaps(context, slots, bytes_per_token), context


def test_gaps_are_counted() -> None:
    assert count_groups([]) == 0
    assert count_groups([3, 1, 2]) == 1
    assert count_groups([0, 2, 5, 6]) == 3


@given(sequences=SEQUENCES, tokens=TOKENS)
def test_gaps_are_closed_by_the_planned_exchanges(
    sequences: set[int], tokens: dict[int, int]
) -> None:
    exchanges = dict(plan_exchanges(sequences, tokens))
    assert count_groups(exchanges.get(each, each) for each in sequences) == 1
    assert not set(exchanges.values()) & sequences
    if count_groups(sequences) == 1:
        assert exchanges == {} or not any(tokens[each] for each in exchanges)


def test_gaps_the_cheapest_exchange_is_chosen() -> None:
    tokens = {0: 4000, 1: 4000, 2: 0, 3: 10, 4: 9000}
    assert plan_exchanges([0, 1, 3], tokens) == [(3, 2)]


@given(tokens=st.lists(st.integers(0, 50), min_size=5, max_size=8), data=st.data())
def test_gaps_each_slot_keeps_its_state(tokens: list[int], data: st.DataObject) -> None:
    slots = [
        Slot(number, number, parts=PromptParts([number] * count))
        for number, count in enumerate(tokens)
    ]
    chosen = data.draw(st.lists(st.sampled_from(slots), unique_by=id, min_size=2, max_size=4))
    gaps, context = made(slots)
    gaps.record(chosen, 1.0)
    assert count_groups(slot.sequence for slot in chosen) == 1
    assert sorted(slot.sequence for slot in slots) == list(range(len(slots)))
    for number, slot in enumerate(slots):
        assert context.states[slot.sequence] == bytes([number] * tokens[number])
        assert held_tokens(slot) == [number] * tokens[number]


def test_gaps_long_contexts_move_after_they_have_cost_as_much_time() -> None:
    slots = [Slot(number, number, parts=PromptParts([number] * 100)) for number in range(3)]
    gaps, context = made(slots, bytes_per_token=1_000_000)
    steps = 0
    while not context.copied:
        gaps.record([slots[0], slots[2]], 0.02)
        steps += 1
    # The gap costs a quarter of each step (5 ms), and copying 200 MB takes 0.4 s.
    assert steps == 80
    assert count_groups(slot.sequence for slot in (slots[0], slots[2])) == 1


def test_gaps_a_state_that_does_not_load_is_not_claimed() -> None:
    slots = [Slot(number, number, parts=PromptParts([number] * 3)) for number in range(3)]
    gaps, context = made(slots)
    context.fails = True
    gaps.record([slots[0], slots[2]], 1.0)
    held = {slot.sequence: bytes(held_tokens(slot)) for slot in slots}
    assert held == context.states
