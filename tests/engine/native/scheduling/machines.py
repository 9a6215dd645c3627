"""Simulated computers: the time of a step by threads and by busy processes."""

import random
from dataclasses import dataclass, field

from koel_tui.engine.native.scheduling.thread_controller import ThreadController


@dataclass
class Machine:
    """A computer with `cores` cores.

    A step takes `serial_s`, and `parallel_s` divided by the threads, which cannot be less than
    `bandwidth_s`. With more threads and busy processes than cores it takes `slowdown` times as
    long, on average.
    """

    cores: int
    seed: int = 0
    serial_s: float = 0.0044
    parallel_s: float = 0.0089
    bandwidth_s: float = 0.0
    slowdown: float = 4.0
    noise: float = 0.04
    busy: int = 0
    knows_shares: bool = True
    now: float = 0.0
    context: int = 50
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def mean_s(self, threads: int) -> float:
        """Return the average time of a step."""
        alone = self.serial_s + max(self.parallel_s / threads, self.bandwidth_s)
        alone += 3e-6 * self.context
        if threads + self.busy > self.cores:
            return alone * self.slowdown
        return alone * (1.45 if self.busy else 1.0)

    def step(self, threads: int) -> float:
        """Advance the clock by the time of a step, and return that time."""
        time = self.mean_s(threads) * max(0.5, self.chance.gauss(1, self.noise))
        if threads + self.busy > self.cores:
            time *= self.chance.uniform(0.7, 1.3)
        if self.chance.random() < 0.01:
            time *= 1.5  # a random interruption
        self.now += time
        self.context += 1
        return time

    def cpu_share(self, threads: int) -> float:
        """Return the fraction of the time in which the threads run."""
        share = min(1.0, self.cores / (threads + self.busy)) if self.knows_shares else 1.0
        return share * self.chance.uniform(0.92, 1.08)

    @property
    def best_s(self) -> float:
        """The average time of a step with the best number of threads."""
        return min(self.mean_s(threads) for threads in range(1, self.cores + 1))


@dataclass
class Run:
    """The steps of a controller on a machine."""

    times: list[tuple[float, float]]  # seconds since the begin, and the duration of the step
    attempted: int

    def speed(self, begin: float) -> float:
        """Return the steps per second from `begin` on."""
        late = [time for since, time in self.times if since >= begin]
        return len(late) / sum(late)


def run(controller: ThreadController, machine: Machine, seconds: float) -> Run:
    """Decode for this number of seconds."""
    began, times, attempted = machine.now, [], 0
    while machine.now - began < seconds:
        since = machine.now - began
        threads = controller.choose("an answer")
        attempted += threads != controller.threads
        time = machine.step(threads)
        times.append((since, time))
        controller.record(time, machine.cpu_share(threads))
    return Run(times, attempted)
