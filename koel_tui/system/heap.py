"""Tuning of the C library's heap, to keep the memory of the process small."""

import ctypes

_ARENAS = -8
"""`M_ARENA_MAX` in glibc's malloc.h."""


def keep_one_heap() -> bool:
    """Limit malloc to one arena; return whether that succeeded.

    Call it before other threads start. Python threads hold the GIL, so per-thread arenas do not
    help, but they retain freed memory: about 3 MB in the app. Works with glibc only.
    """
    return _asked("mallopt", _ARENAS, 1)


def give_back() -> bool:
    """Return free heap memory to the system; return whether any was released. glibc only.

    Otherwise the process keeps memory freed after imports and in fragments: 4 MB in the app.
    """
    return _asked("malloc_trim", 0)


def _asked(name: str, *arguments: int) -> bool:
    try:
        return bool(getattr(ctypes.CDLL(None), name)(*arguments))
    except (AttributeError, OSError, TypeError):  # another C library, or none can be loaded
        return False
