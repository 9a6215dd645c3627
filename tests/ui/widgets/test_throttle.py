"""Tests of the throttle: painting keeps to its CPU share, and the last change is painted."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App

from koel_tui.ui.widgets.throttle import Throttle, cpu_share_for, period, queue_scheduler


class Painted:
    """A throttle with simulated clocks, and the times of its flushes."""

    def __init__(self, interval: float, cost: float = 0.0) -> None:
        self.now = self.cpu_clock = self.painted = 100.0
        self.flushed: list[float] = []
        self.pokes_within = 0
        self._cost = cost
        self._scheduled: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        self.throttle = Throttle(
            lambda delay, run: self._scheduled.append((self.now + delay, run)),
            self._flush,
            interval,
            share=1 / 8,
            paint_clock=lambda: self.painted,
            clock=lambda: self.now,
            cpu_clock=lambda: self.cpu_clock,
        )

    async def _flush(self) -> None:
        self.flushed.append(self.now)
        self.cpu_clock += self._cost
        if self.pokes_within:
            self.pokes_within -= 1
            self.throttle.request()

    async def until(self, end: float) -> None:
        """Run everything that is scheduled until `end`, and set the clock to `end`."""
        while self._scheduled and min(self._scheduled, key=itemgetter(0))[0] <= end:
            self._scheduled.sort(key=itemgetter(0))
            at, run = self._scheduled.pop(0)
            self.now = max(self.now, at)
            await run()
        self.now = end

    @property
    def gaps(self) -> list[float]:
        """The seconds between flushes."""
        return [later - earlier for earlier, later in pairwise(self.flushed)]


async def test_many_requests_cause_one_flush() -> None:
    painted = Painted(interval=10.0)
    for _ in range(5):
        painted.throttle.request()
    await painted.until(150.0)
    assert len(painted.flushed) == 1
    painted.throttle.request()
    await painted.until(151.0)
    assert len(painted.flushed) == 2  # at once, because the last flush was long ago


async def test_a_request_during_a_flush_causes_another_flush() -> None:
    painted = Painted(interval=10.0)
    painted.pokes_within = 1
    painted.throttle.request()
    await painted.until(150.0)
    assert painted.gaps == [10.0]


async def test_a_flush_that_fails_does_not_end_the_painting() -> None:
    scheduled: list[Callable[[], Awaitable[None]]] = []

    async def flush() -> None:
        raise RuntimeError

    throttle = Throttle(lambda delay, run: scheduled.append(run), flush, interval=0)
    throttle.request()
    with pytest.raises(RuntimeError):
        await scheduled[0]()
    throttle.request()
    assert len(scheduled) == 2


@pytest.mark.parametrize(("cost", "gap"), [(0.001, 0.05), (0.02, 0.16), (0.05, 0.4), (3.0, 0.5)])
async def test_expensive_flushes_are_less_frequent_and_the_last_one_is_made(
    cost: float, gap: float
) -> None:
    painted = Painted(interval=0.05, cost=cost)
    for _ in range(400):  # a token every 10 ms
        painted.throttle.request()
        await painted.until(painted.now + 0.01)
    assert min(painted.gaps) == pytest.approx(gap, abs=0.001)
    assert max(painted.gaps) == pytest.approx(gap, abs=0.011)
    last_poke = painted.now - 0.01
    await painted.until(painted.now + 1)
    assert painted.flushed[-1] >= last_poke


async def test_the_cost_of_a_flush_excludes_computation_between_flushes() -> None:
    painted = Painted(interval=0.05, cost=0.02)
    for _ in range(400):
        painted.throttle.request()
        await painted.until(painted.now + 0.01)
        painted.cpu_clock += 0.001
    assert max(painted.gaps) < 0.25  # 0.8 s if the computation counted


async def test_a_paint_long_after_its_flush_counts() -> None:
    painted = Painted(interval=0.05, cost=0.01)
    for _ in range(400):
        painted.throttle.request()
        await painted.until(painted.now + 0.01)
        if painted.flushed and painted.now - painted.flushed[-1] == pytest.approx(0.07, abs=0.006):
            painted.painted += 0.02
    assert min(painted.gaps) >= 0.23  # 0.08 s if only the flush counted


@given(st.floats(0, 10), st.floats(0, 1), st.integers(1, 256))
def test_a_period_is_never_shorter_than_asked_for(
    cost: float, interval: float, processors: int
) -> None:
    share = cpu_share_for(processors)
    assert interval <= period(cost, interval, share) <= max(interval, 0.5)
    assert period(cost, interval, share) == max(interval, 0.5) or cost <= 0.125


def test_the_cpu_share_of_painting_grows_with_the_number_of_processors() -> None:
    assert cpu_share_for(2) == 1 / 24
    assert cpu_share_for(1) < cpu_share_for(2) < cpu_share_for(4) < cpu_share_for(8)
    assert cpu_share_for(256) == cpu_share_for(12) == 1 / 4


async def test_a_flush_is_made_even_if_the_process_was_suspended_before_its_timer_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A timer of Textual skips its only call then, so nothing would be painted after it."""
    flushed = asyncio.Event()

    async def flush() -> None:
        flushed.set()

    app = App[None]()
    async with app.run_test():
        times = itertools.count(time.monotonic(), 0.01)
        monkeypatch.setattr("textual.timer._time.get_time", lambda: next(times))
        Throttle(queue_scheduler(app), flush, 0.0).request()
        async with asyncio.timeout(10):
            await flushed.wait()
        monkeypatch.undo()
