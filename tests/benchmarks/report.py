"""Printing of measured figures: medians and ratios, never a verdict on absolute times."""

import statistics
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def line(what: str, ours: float, reference: float, unit: str, against: str) -> str:
    return (
        f"{what}: {ours:.3g} {unit}, {against} {reference:.3g} {unit}, ratio {ours / reference:.3f}"
    )
