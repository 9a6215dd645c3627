"""Slots: whose is whose, who is taken over, how many there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine.native.slots import SlotTable, common_prefix, slot_count


def test_slots_a_session_keeps_its_own() -> None:
    table = SlotTable(2)
    first = table.claim(1, set())
    assert table.claim(2, set()) is not first
    assert table.claim(1, set()) is first


def test_slots_the_least_recently_used_idle_one_is_taken_over() -> None:
    table = SlotTable(3)
    a, b, c = (table.claim(session, set()) for session in (1, 2, 3))
    table.claim(1, set())
    assert table.claim(4, {3}) is b
    assert table.claim(5, {3}) is a
    assert c.session == 3


def test_slots_a_released_one_is_empty_and_goes_first() -> None:
    table = SlotTable(2)
    slot = table.claim(1, set())
    slot.tokens.extend([1, 2])
    assert table.release(1) is slot
    assert slot.tokens == []
    assert table.release(1) is None
    assert table.claim(9, set()) is slot


def test_slots_all_busy_is_an_error() -> None:
    table = SlotTable(1)
    table.claim(1, set())
    with pytest.raises(LookupError):
        table.claim(2, {1})


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_prefix_is_the_longest(held: list[int], wanted: list[int]) -> None:
    length = common_prefix(held, wanted)
    assert held[:length] == wanted[:length]
    assert held[length : length + 1] != wanted[length : length + 1] or not (
        held[length:] and wanted[length:]
    )


@pytest.mark.parametrize(
    ("free", "slot", "parallel", "sessions", "count"),
    [
        (4000, 100, 1, 8, 8),  # a quarter of the memory has room for ten
        (4000, 500, 1, 8, 2),
        (0, 500, 3, 8, 4),  # never less than the running turns and one for the background
        (10**9, 1, 1, None, 64),
        (10**9, 1, 1, 0, 2),
    ],
)
def test_slot_count(free: int, slot: int, parallel: int, sessions: int | None, count: int) -> None:
    assert (
        slot_count(free_bytes=free, slot_bytes=slot, parallel=parallel, max_sessions=sessions)
        == count
    )
