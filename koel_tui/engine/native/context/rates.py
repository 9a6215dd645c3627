"""Measured rates, to weigh the copy of a context against its prefill."""

_NEW_SHARE = 0.3
"""The weight of a new measurement: the rate follows a machine that becomes slower or faster."""


class Rate:
    """A rate in units per second: an assumption until the first measurement."""

    def __init__(self, assumed: float) -> None:
        self._rate = assumed
        self._is_measured = False

    def add(self, units: int, seconds: float) -> None:
        """Add a measurement."""
        if units <= 0 or seconds <= 0:
            return
        share = _NEW_SHARE if self._is_measured else 1.0
        self._rate += share * (units / seconds - self._rate)
        self._is_measured = True

    def seconds(self, units: int) -> float:
        """Return the seconds that `units` are expected to take."""
        return units / self._rate
