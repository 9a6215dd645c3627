"""The number of threads follows the load of a computer, with little exploration."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koel_tui.engine.native.scheduling.thread_controller import ThreadController
from tests.engine.native.scheduling.machines import Machine, run

CORES = [1, 2, 4, 8, 64]
WITHIN_S = 2.0


@pytest.mark.parametrize("cores", CORES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), noise=st.sampled_from([0.0, 0.02, 0.05]), shares=st.booleans())
def test_threads_follow_a_busy_process_that_begins_and_ends(
    cores: int, seed: int, noise: float, shares: bool
) -> None:
    controller = ThreadController(cores)
    machine = Machine(cores, seed, noise=noise, knows_shares=shares)
    steps = attempted = 0
    for busy, limit in ((0, 0.95), (1, 0.9), (0, 0.9)):
        machine.busy = busy
        done = run(controller, machine, 4)
        steps, attempted = steps + len(done.times), attempted + done.attempted
        assert done.speed(WITHIN_S) * machine.best_s >= limit, f"{busy} busy processes"
    assert attempted <= 0.03 * steps


@pytest.mark.parametrize("cores", CORES)
def test_threads_a_busy_process_is_noticed_from_the_start(cores: int) -> None:
    controller, machine = ThreadController(cores), Machine(cores, busy=1)
    if cores == 1:
        assert run(controller, machine, 1).attempted == 0
        return
    assert run(controller, machine, 4).speed(WITHIN_S) * machine.best_s >= 0.9


@pytest.mark.parametrize("busy", [2, 3, 4])
def test_threads_several_busy_processes_leave_fewer_cores(busy: int) -> None:
    controller, machine = ThreadController(8), Machine(8)
    run(controller, machine, 4)
    machine.busy = busy
    assert run(controller, machine, 20).speed(10) * machine.best_s >= 0.85


@settings(max_examples=20, deadline=None)
@given(
    cores=st.sampled_from([2, 8, 64]),
    seed=st.integers(0, 10_000),
    noise=st.floats(0, 0.5),
    slowdown=st.floats(1.0, 4.0),
    busy=st.lists(st.integers(0, 8), min_size=3, max_size=12),
)
def test_threads_exploration_is_always_limited(
    cores: int, seed: int, noise: float, slowdown: float, busy: list[int]
) -> None:
    controller = ThreadController(cores)
    machine = Machine(cores, seed, noise=noise, slowdown=slowdown)
    steps = attempted = 0
    for each in busy:
        machine.busy = each
        done = run(controller, machine, 2)
        steps, attempted = steps + len(done.times), attempted + done.attempted
    # Eight more steps are allowed: the saved budget, and the steps that end an attempt.
    assert attempted <= 0.025 * steps + 8


def test_threads_exploration_nearly_ends_without_other_processes() -> None:
    controller, machine = ThreadController(2), Machine(2)
    run(controller, machine, 20)
    assert run(controller, machine, 20).attempted <= 6


def test_threads_other_turns_and_longer_contexts_are_not_a_change_of_speed() -> None:
    controller, machine = ThreadController(2), Machine(2, noise=0)
    run(controller, machine, 5)
    machine.context = 4000  # steps take twice as long
    before = machine.now
    attempted = 0
    while machine.now - before < 5:
        threads = controller.choose("another turn")
        attempted += threads != 2
        controller.record(machine.step(threads), machine.cpu_share(threads))
    assert attempted <= 6 and controller.threads == 2


def test_threads_unequal_cores_or_memory_bandwidth_can_make_fewer_threads_best() -> None:
    class Slow(Machine):
        def mean_s(self, threads: int) -> float:
            return 0.004 + 0.0005 * threads + 0.02 / threads

    controller, machine = ThreadController(64), Slow(64)
    assert run(controller, machine, 40).speed(20) * machine.best_s >= 0.9
    assert controller.threads < 16
