"""How often a native side that dies is started again."""

from collections import deque

from koel_tui.engine.errors import RestartLimitError

RESTARTS, WITHIN_S = 3, 60.0
"""So many restarts in so many seconds; one that dies of something passing needs one or two."""


class Restarts:
    """The last restarts: after 3 of them within 60 seconds it is enough.

    Each reads the weights anew; callers that try again by themselves would keep the machine busy
    for ever with a native side that cannot live.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=RESTARTS)

    def count(self, now: float, last_end: str) -> None:
        """Count a restart at the time `now`, in seconds; `last_end` says why it is needed.

        Raises `RestartLimitError` instead when it is one too many.
        """
        if len(self._times) == RESTARTS and now - self._times[0] < WITHIN_S:
            wait = max(1, round(WITHIN_S - (now - self._times[0])))
            raise RestartLimitError(
                f"The engine was restarted {RESTARTS} times within {WITHIN_S:.0f} seconds and "
                f"ended each time, the last time like this: {last_end} Choose another model or "
                f"a smaller window (--context-tokens), or try again in {wait} s."
            )
        self._times.append(now)
