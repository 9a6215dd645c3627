"""A series of numbers as a one-line sparkline, and as text for screen readers. Pure."""

from collections.abc import Sequence
from statistics import median

_STEPS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], top: float = 0.0) -> str:
    """Return one block per number; the full block means `top`, or the maximum if `top` is 0."""
    top = top if top > 0 else max(values, default=0.0)
    return "".join(_STEPS[_step(value, top)] for value in values)


def format_range(values: Sequence[float]) -> str:
    """Return the minimum, median and maximum as text; empty for no values."""
    if not values:
        return ""
    least, middle, most = (f"{each:,.0f}" for each in (min(values), median(values), max(values)))
    return f"min {least} · median {middle} · max {most}"


def _step(value: float, top: float) -> int:
    last = len(_STEPS) - 1
    return max(0, round(min(value, top) / top * last)) if top > 0 else 0
