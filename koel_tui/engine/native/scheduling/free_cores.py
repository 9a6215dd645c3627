"""The number of cores that other processes leave free.

The threads of a step wait for each other. If another process uses one of their cores, each step
waits for a thread that the system has suspended, in the worst case for seconds. So a step gets at
most as many threads as there are free cores.
"""

import time
from collections.abc import Callable

import psutil

_INTERVAL_S = 0.2
"""Time between two measurements; the system counts CPU time in steps of about 0.01 s."""


def _used_s() -> float:
    """Return the seconds that all cores have worked, without processes of low priority."""
    times = psutil.cpu_times()
    fields = ("user", "system", "irq", "softirq", "steal")
    return sum(getattr(times, field, 0.0) for field in fields)


class FreeCores:
    """Measures the CPU time of the other processes."""

    def __init__(
        self,
        cores: int,
        *,
        clock: Callable[[], float] = time.perf_counter,
        used_s: Callable[[], float] = _used_s,
        own_s: Callable[[], float] = time.process_time,
    ) -> None:
        """`cores` is the number of cores of the computer.

        `used_s` returns the CPU time of all processes in seconds, `own_s` that of this one.
        """
        self._cores = cores
        self._clock, self._used_s, self._own_s = clock, used_s, own_s
        self._measured_at = clock()
        self._others_s = self._count_others()
        self._free = cores

    def count(self) -> int:
        """Return the number of free cores, at least 1.

        A core counts as free if others use less than half of it.
        """
        elapsed = self._clock() - self._measured_at
        if elapsed >= _INTERVAL_S:
            others_s = self._count_others()
            used = max(0.0, others_s - self._others_s) / elapsed
            self._free = max(1, int(self._cores - used + 0.5))
            self._measured_at += elapsed
            self._others_s = others_s
        return self._free

    def _count_others(self) -> float:
        try:
            return self._used_s() - self._own_s()
        except OSError:  # a container can hide the times: then all cores count as free
            return 0.0
