"""The slot table: which session has which slot, which slot is reassigned, the slot count."""

import pytest

from koel_tui.engine.native.context.slots import Slot, SlotTable, slot_count


def occupied(table: SlotTable, *sessions: int) -> list[Slot]:
    slots = []
    for session in sessions:
        slot = table.acquire(())
        slot.session = session
        slots.append(slot)
    return slots


def test_slots_a_session_keeps_its_slot() -> None:
    table = SlotTable(2)
    first, second = occupied(table, 1, 2)
    assert table.get(1) is first
    assert table.get(2) is second
    assert table.get(3) is None


def test_slots_the_least_recently_used_idle_slot_is_reassigned() -> None:
    table = SlotTable(3)
    a, b, _ = occupied(table, 1, 2, 3)
    table.get(1)
    assert table.acquire({3}) is b
    assert table.acquire({3}) is a


def test_slots_a_released_slot_is_empty_and_reused_first() -> None:
    table = SlotTable(2)
    slot, _ = occupied(table, 1, 2)
    slot.parts.extend([1, 2])
    table.release(slot)
    assert (slot.session, len(slot.parts)) == (None, 0)
    assert table.acquire(()) is slot


def test_slots_free_slots_are_acquired_from_the_first() -> None:
    table = SlotTable(3)
    first, second, third = occupied(table, 1, 2, 3)
    for slot in (first, second, third):
        table.release(slot)
    assert occupied(table, 4, 5) == [first, second]


def test_slots_acquiring_with_all_slots_busy_is_an_error() -> None:
    table = SlotTable(1)
    occupied(table, 1)
    with pytest.raises(LookupError):
        table.acquire({1})


@pytest.mark.parametrize(
    ("free", "slot", "parallel", "sessions", "count"),
    [
        (4000, 100, 1, 8, 9),  # a quarter of the free memory fits ten slots
        (4000, 500, 1, 8, 2),
        (0, 500, 3, 8, 3),  # at least one slot for each running turn
        (10**9, 1, 1, None, 64),
        (10**9, 1, 1, 0, 1),
    ],
)
def test_the_slot_count_depends_on_free_memory_and_limits(
    free: int, slot: int, parallel: int, sessions: int | None, count: int
) -> None:
    assert (
        slot_count(free_bytes=free, slot_bytes=slot, parallel=parallel, max_sessions=sessions)
        == count
    )
