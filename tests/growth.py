"""A check that the run time of a function grows linearly with its input."""

import gc
from collections.abc import Callable
from time import process_time

TIMES_LONGER = 8
_MOST = 24
"""The limit of the growth: linear time grows by a factor of 8, quadratic time by 64."""


def grows_linearly(
    function: Callable[[str], object], piece: str, count: int, end: str = ""
) -> bool:
    """Return whether a text with 8 times as many pieces takes about 8 times as long."""
    short, long = piece * count + end, piece * count * TIMES_LONGER + end
    function(short)  # excludes the time of imports
    return any(_seconds(function, long) < _MOST * _seconds(function, short) for _ in range(3))


def _seconds(function: Callable[[str], object], text: str) -> float:
    """Return the shortest of three measured times."""
    times: list[float] = []
    gc.disable()
    try:
        for _ in range(3):
            begin = process_time()
            function(text)
            times.append(process_time() - begin)
    finally:
        gc.enable()
    return min(times)
