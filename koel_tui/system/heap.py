"""Tuning of the C library's heap, to keep the memory of the process small."""

import ctypes

_M_ARENA_MAX = -8
"""`M_ARENA_MAX` in glibc's malloc.h."""


def limit_malloc_arenas() -> bool:
    """Limit malloc to one arena; return whether that succeeded.

    Call it before other threads start. Python threads hold the GIL, so per-thread arenas do not
    help, but they retain freed memory: about 3 MB in the app. Works with glibc only.
    """
    return _call_libc("mallopt", _M_ARENA_MAX, 1)


def trim_heap() -> bool:
    """Return free heap memory to the system; return whether any was released. glibc only.

    Otherwise the process keeps memory freed after imports and in fragments: 4 MB in the app.
    """
    return _call_libc("malloc_trim", 0)


def _call_libc(name: str, *arguments: int) -> bool:
    try:
        return bool(getattr(ctypes.CDLL(None), name)(*arguments))
    except (AttributeError, OSError, TypeError):  # another C library, or none can be loaded
        return False
