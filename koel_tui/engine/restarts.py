"""How often a native side that dies while it starts is started again."""

from collections import deque

RESTARTS, WITHIN_S = 3, 60.0


class FailedRestarts:
    """The last restarts that failed: after `RESTARTS` of them within `WITHIN_S` it is enough.

    Each start reads the weights anew; a caller that tries again by itself would keep the machine
    busy for ever with a native side that cannot live.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=RESTARTS)

    def add(self, now: float) -> None:
        """Count a restart that failed at the time `now`, in seconds."""
        self._times.append(now)

    def enough(self, now: float) -> bool:
        """Whether another start has to wait."""
        return len(self._times) == RESTARTS and now - self._times[0] < WITHIN_S

    def forget(self) -> None:
        """Begin anew: a start went well."""
        self._times.clear()
