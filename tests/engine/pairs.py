"""A greedy covering array: few rows that contain every pair of values of two options."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

Pair = tuple[tuple[str, int], tuple[str, int]]


def covering_rows(options: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return rows, each with a value for every option, that contain every pair of values.

    Each row begins with an uncovered pair; each other option gets the value that covers most pairs.
    """
    left = {
        ((one, i), (other, j))
        for one, other in combinations(options, 2)
        for i in range(len(options[one]))
        for j in range(len(options[other]))
    }
    rows = []
    while left:
        chosen = dict(min(left))
        for name in options:
            if name not in chosen:
                chosen[name] = max(
                    range(len(options[name])),
                    key=lambda index: len(_pairs(options, {**chosen, name: index}, name) & left),
                )
        left -= _pairs(options, chosen)
        rows.append({name: options[name][index] for name, index in chosen.items()})
    return rows


def _pairs(
    options: Mapping[str, Sequence[Any]], chosen: Mapping[str, int], of: str | None = None
) -> set[Pair]:
    """Return the pairs of `chosen`, in the order of `options`; `of` limits them to one option."""
    names = [name for name in options if name in chosen]
    return {
        ((one, chosen[one]), (other, chosen[other]))
        for one, other in combinations(names, 2)
        if of is None or of in (one, other)
    }
