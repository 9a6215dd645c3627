"""The heap of the process: what of the C library's memory is kept."""

import ctypes

_ARENAS = -8
"""The number of `M_ARENA_MAX` in glibc's malloc.h."""


def keep_one_heap() -> bool:
    """Keep the C library from a heap for every thread; tell whether it could be asked.

    To be called before there are other threads. Those of Python take turns, so that a heap of
    their own speeds up nothing, but each holds on to what it once had: 3 MB of the window.
    Elsewhere than with glibc nothing changes.
    """
    return _asked("mallopt", _ARENAS, 1)


def give_back() -> bool:
    """Give the system what is free; tell whether there was any. With glibc, as above.

    What modules needed while they were imported, and what is in holes, stays with the process
    otherwise: 4 MB of the window.
    """
    return _asked("malloc_trim", 0)


def _asked(name: str, *arguments: int) -> bool:
    try:
        return bool(getattr(ctypes.CDLL(None), name)(*arguments))
    except (AttributeError, OSError, TypeError):  # another C library, or no way to ask it
        return False
