"""The number of cores that other processes leave free."""

import pytest

from koel_tui.engine.native.scheduling.free_cores import FreeCores


class Clock:
    """A computer whose processes use CPU time."""

    def __init__(self, cores: int) -> None:
        self.now = self.used = self.own = 0.0
        self.free_cores = FreeCores(
            cores, clock=lambda: self.now, used_s=lambda: self.used, own_s=lambda: self.own
        )

    def run(self, seconds: float, *, others: float, own: float) -> int:
        """Let the processes use this number of cores for some time; return the free cores."""
        self.now += seconds
        self.own += own * seconds
        self.used += (others + own) * seconds
        return self.free_cores.count()


@pytest.mark.parametrize(
    ("cores", "others", "free"),
    [(2, 0.0, 2), (2, 0.4, 2), (2, 0.67, 1), (2, 1.0, 1), (2, 5.0, 1), (8, 3.0, 5), (1, 1.0, 1)],
)
def test_a_core_that_others_use_for_less_than_half_of_the_time_is_free(
    cores: int, others: float, free: int
) -> None:
    assert Clock(cores).run(1.0, others=others, own=1.5) == free


def test_the_number_of_free_cores_follows_the_latest_measurement() -> None:
    computer = Clock(2)
    assert computer.run(0.1, others=2.0, own=0.0) == 2  # too short to be measured
    assert computer.run(0.2, others=2.0, own=0.0) == 1
    assert computer.run(0.3, others=0.0, own=2.0) == 2


def test_a_computer_that_hides_its_times_has_all_cores_free() -> None:
    def fail() -> float:
        raise PermissionError("/proc/stat")

    now = [0.0]
    free_cores = FreeCores(4, clock=lambda: now[0], used_s=fail)
    now[0] = 1.0
    assert free_cores.count() == 4


def test_the_real_times_are_counted() -> None:
    assert 1 <= FreeCores(3).count() <= 3
