"""The generation mutex: permits, their order, and their release."""

from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine.mutex import GenerationMutex, Ticket


def test_mutex_tells_each_waiter_its_place_as_the_line_moves() -> None:
    mutex, received = GenerationMutex(), [[], [], []]  # type: tuple[GenerationMutex, list[list[int]]]
    tickets = [mutex.enter(places.append) for places in received]
    assert received == [[0], [1], [2]]
    mutex.leave(tickets[1])
    mutex.leave(tickets[0])
    assert received == [[0], [1], [2, 1, 0]]


def test_mutex_a_late_leave_does_not_end_the_next_turn() -> None:
    mutex = GenerationMutex()
    first = mutex.enter(lambda _: None)
    second = mutex.enter(lambda _: None)
    mutex.leave(first)
    mutex.leave(first)
    assert (mutex.held, mutex.waiting) == (1, 0)
    mutex.leave(second)
    assert mutex.held == 0


@given(permits=st.integers(1, 4), steps=st.lists(st.integers(0, 12), max_size=60))
def test_mutex_never_overfills_and_serves_in_order(permits: int, steps: list[int]) -> None:
    mutex = GenerationMutex(permits)
    tickets: list[Ticket] = []
    admitted: list[int] = []
    gone: set[int] = set()

    def enter(number: int) -> None:
        tickets.append(mutex.enter(lambda place: admitted.append(number) if place == 0 else None))

    for step in steps:
        if step < 7 or not tickets:
            enter(len(tickets))
        else:
            leaving = (step * 7919) % len(tickets)
            gone.add(leaving)
            mutex.leave(tickets[leaving])
        assert mutex.held <= permits
        assert mutex.waiting == 0 or mutex.held == permits
    assert admitted == sorted(admitted)
    assert len(set(admitted)) == len(admitted)
    for ticket in tickets:
        mutex.leave(ticket)
    assert (mutex.held, mutex.waiting) == (0, 0)
