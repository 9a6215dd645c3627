"""Formatting of measured figures: medians and ratios, without a limit for absolute times."""

import statistics
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def share(values: Sequence[float], part: float) -> float:
    """Return a percentile of the values; `part` is a fraction: 0.9 is the 90th percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def line(what: str, ours: float, reference: float, unit: str, against: str, limit: str = "") -> str:
    """Return a figure with its reference, and with its limit if there is one."""
    return (
        f"{what}: {ours:.3g} {unit}, {against} {reference:.3g} {unit}, ratio {ours / reference:.3f}"
        + (f" (limit {limit})" if limit else "")
    )
