"""A rate limit for worker restarts."""

from collections import deque

from koel_tui.engine.errors import RestartLimitError

MAX_RESTARTS, PERIOD_S = 3, 60.0
"""Maximum restarts per period in seconds; a transient failure needs one or two."""


class Restarts:
    """The times of recent restarts; allows 3 within 60 seconds.

    Each restart reloads the weights, so callers that retry automatically would otherwise load the
    machine endlessly with a worker that always crashes.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MAX_RESTARTS)

    def count(self, now: float, last_end: str) -> None:
        """Record a restart at time `now`, in seconds; `last_end` is the cause of the last crash.

        Without a cause it is the first start, which is not recorded. Raises `RestartLimitError` if
        it exceeds the limit; then it is not recorded either.
        """
        if not last_end:
            return
        if len(self._times) == MAX_RESTARTS and now - self._times[0] < PERIOD_S:
            wait = max(1, round(PERIOD_S - (now - self._times[0])))
            raise RestartLimitError(
                f"The engine was restarted {MAX_RESTARTS} times within {PERIOD_S:.0f} seconds and "
                f"crashed each time. The last reason: {last_end} Choose another model or a "
                f"smaller context (--context-tokens), or try again in {wait} s."
            )
        self._times.append(now)
