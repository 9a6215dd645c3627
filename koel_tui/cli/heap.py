"""The heap of the process."""

import ctypes

_ARENAS = -8
"""The number of `M_ARENA_MAX` in glibc's malloc.h."""


def keep_one_heap() -> bool:
    """Keep the C library from a heap for every thread; tell whether it could be asked.

    To be called before there are other threads. Those of Python take turns, so that a heap of
    their own speeds up nothing, but each holds on to what it once had: 3 MB of the window.
    Elsewhere than with glibc nothing changes.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_ARENAS, 1))
    except (AttributeError, OSError, TypeError):  # another C library, or no way to ask it
        return False
