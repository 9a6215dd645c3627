"""The number of CPU threads of the next step, learned from the times of the steps before.

If another process uses a core, the threads of a step wait for the one that the system has
suspended, hundreds of times in each step. One thread less is then several times faster. So the
controller sometimes tries another number for a few steps, and keeps it if they are faster.
"""

from collections import deque
from collections.abc import Hashable
from statistics import fmean, median

_EXPLORED_SHARE = 0.025
"""The part of all steps that may be used to try other numbers."""
_MAX_CREDIT = 5.0
"""The number of steps for this that may be saved up."""
_RESERVE = 3.0
"""The number that must be saved up for an attempt without a reason, so that some are left."""
_RECENT_STEPS, _BASELINE_STEPS, _CHANGED_STEPS = 8, 6, 3
"""Steps that are remembered, that define the normal time, and that show a change of it."""
_SLOWER, _SLIGHTLY_SLOWER, _FASTER = 1.3, 1.15, 0.88
"""Changes of the time of a step that start an attempt: on average, and of each step."""
_MAX_ATTEMPT_STEPS = 4
_BETTER = 0.94
"""The ratio of the times at which another number of threads is kept; more could be chance."""
_CLEARLY_BETTER, _CLEARLY_WORSE = 0.75, 1.25
"""The ratios that end an attempt early."""
_MIN_INTERVAL, _MAX_INTERVAL, _MAX_INTERVAL_BELOW = 16, 1024, 48
"""Steps between two attempts: they double, and are fewer while not all threads are used.

Fewer threads are best while something disturbs, and that may end at any time.
"""
_MIN_INTERVAL_ALONE = 48
"""Additional steps until an attempt while all threads run all of the time."""
_DISTURBED_SHARE = 0.85
"""The part of the time that the threads run if other processes use their cores."""
_STARVED_SHARE = 0.6
"""The part that is so small that a single step shows it."""


class Attempt:
    """Some steps with another number of threads."""

    def __init__(self, threads: int, reference: float, min_steps: int) -> None:
        """`reference` is the time of a step with the present number of threads."""
        self.threads = threads
        self._times: list[float] = []
        self._reference = reference
        self._min_steps = min_steps

    @property
    def times(self) -> list[float]:
        """The times of the steps so far."""
        return self._times

    def add(self, time: float) -> bool | None:
        """Add the time of a step; return whether the attempt succeeded, None to continue."""
        self._times.append(time)
        steps, ratio = len(self._times), fmean(self._times) / self._reference
        if steps >= self._min_steps and ratio > _CLEARLY_WORSE:
            return False
        if steps >= 2 and not _CLEARLY_BETTER < ratio < 1:
            return ratio < 1
        return ratio < _BETTER if steps >= _MAX_ATTEMPT_STEPS else None


class ThreadController:
    """The number of threads for one kind of step, at most `max_threads`.

    Call `choose` before each step and `record` after it. It counts steps and needs no clock.
    """

    def __init__(self, max_threads: int, *, needs_reason: bool = False) -> None:
        """With `needs_reason`, fewer than `max_threads` are only tried if a step was disturbed."""
        self._max_threads = max_threads
        self._needs_reason = needs_reason
        self._threads = max_threads
        self._work: Hashable = None
        self._recent: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._cpu_shares: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._baseline: float | None = None
        self._attempt: Attempt | None = None
        self._candidates: list[int] = []  # to try as soon as possible, after a change
        self._credit = _MAX_CREDIT
        self._interval = _MIN_INTERVAL
        self._steps_to_attempt = _BASELINE_STEPS
        self._attempts = 0

    @property
    def threads(self) -> int:
        """The best number of threads so far."""
        return self._threads

    @property
    def is_attempting(self) -> bool:
        """True if the next step of the same work tries another number of threads."""
        return self._attempt is not None

    def choose(self, work: Hashable) -> int:
        """Return the number of threads for a step; the times of equal `work` are comparable."""
        if work != self._work:
            self._work = work
            self._attempt = None
            self._forget()
            self._steps_to_attempt = min(self._steps_to_attempt, _BASELINE_STEPS)
            self._interval = _MIN_INTERVAL
        return self._threads if self._attempt is None else self._attempt.threads

    def record(self, time: float, cpu_share: float = 1.0) -> None:
        """Learn from the time of the step that was chosen last, in any unit.

        `cpu_share` is the part of the time that its threads were running. Threads that wait for
        each other run as well, so less than 1 means that other processes used their cores.
        """
        if self._max_threads == 1:
            return
        if self._attempt is not None:
            self._credit -= 1
            succeeded = self._attempt.add(time)
            if succeeded is not None:
                self._end_attempt(self._attempt, succeeded)
            return
        self._recent.append(time)
        self._cpu_shares.append(cpu_share)
        self._credit = min(self._credit + _EXPLORED_SHARE, _MAX_CREDIT)
        self._steps_to_attempt -= 1
        self._notice_change()
        if self._candidates and self._credit >= 1:
            self._attempt = Attempt(self._candidates.pop(0), fmean(self._recent), 2)
        elif self._is_time_for_attempt():
            self._attempt = Attempt(self._next_candidate(), fmean(self._recent), 1)

    @property
    def _is_disturbed(self) -> bool:
        """True if other processes have used the cores of the last steps."""
        return bool(self._cpu_shares) and fmean(self._cpu_shares) < _DISTURBED_SHARE

    def _is_time_for_attempt(self) -> bool:
        """Return whether to try another number without a change of the time of a step."""
        if self._is_disturbed:
            # The step of a long disturbance may take seconds, so the first one counts.
            is_new = fmean(self._cpu_shares) < _STARVED_SHARE and self._interval == _MIN_INTERVAL
            return self._credit >= 1 and (is_new or self._steps_to_attempt <= 0)
        if self._threads < self._max_threads:
            return self._steps_to_attempt <= 0 and self._credit >= 1
        is_late = self._steps_to_attempt <= -_MIN_INTERVAL_ALONE
        return is_late and self._credit >= _RESERVE and not self._needs_reason

    def _forget(self) -> None:
        self._recent.clear()
        self._cpu_shares.clear()
        self._baseline = None
        self._candidates.clear()

    def _notice_change(self) -> None:
        """List the numbers to try if the steps have become faster or slower."""
        if self._baseline is None:
            if len(self._recent) >= _BASELINE_STEPS:
                self._baseline = median(self._recent)
            return
        latest = list(self._recent)[-_CHANGED_STEPS:]
        is_slower = (
            min(latest) > self._baseline * _SLIGHTLY_SLOWER
            and fmean(latest) > self._baseline * _SLOWER
        )
        if not is_slower and max(latest) >= self._baseline * _FASTER:
            # A longer context makes each step slightly slower.
            self._baseline += 0.05 * (median(latest) - self._baseline)
            return
        shares = list(self._cpu_shares)[-_CHANGED_STEPS:]
        is_chance = not is_slower and self._is_disturbed
        self._forget()
        self._recent.extend(latest)
        self._cpu_shares.extend(shares)
        if is_chance:
            return
        self._candidates = self._numbers(-1 if is_slower else 1)
        self._interval = _MIN_INTERVAL

    def _numbers(self, direction: int) -> list[int]:
        """Return the numbers to try that are smaller (-1) or larger (1) than the present one."""
        now = self._threads
        numbers = [now - 1, now // 2] if direction < 0 else [now + 1, now * 2]
        if direction < 0 and self._is_disturbed:
            numbers.insert(0, int(now * fmean(self._cpu_shares)))  # that many threads ran
        allowed = (min(number, self._max_threads) for number in numbers)
        return [each for each in dict.fromkeys(allowed) if each >= 1 and each != now]

    def _next_candidate(self) -> int:
        """Return the number to try next: alternately larger and smaller, near and far."""
        number = self._attempts
        self._attempts += 1
        first = -1 if self._is_disturbed else 1
        direction = first if number % 2 == 0 else -first
        candidates = self._numbers(direction) or self._numbers(-direction)
        return candidates[number // 2 % len(candidates)]

    def _end_attempt(self, attempt: Attempt, succeeded: bool) -> None:
        self._attempt = None
        if succeeded:
            direction = 1 if attempt.threads > self._threads else -1
            self._attempts = 0
            self._threads = attempt.threads
            self._forget()
            self._recent.extend(attempt.times)
            self._cpu_shares.append(1.0)
            # Several processes may have begun or ended, so try a much different number as well.
            self._candidates = self._numbers(direction)[1:]
            self._interval = _MIN_INTERVAL
            self._steps_to_attempt = _BASELINE_STEPS
            return
        is_below = self._threads < self._max_threads
        limit = _MAX_INTERVAL_BELOW if is_below else _MAX_INTERVAL
        self._steps_to_attempt = self._interval
        self._interval = min(self._interval * 2, limit)
