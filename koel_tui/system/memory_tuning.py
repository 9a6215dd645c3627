"""Memory tuning of the process: the C library's heap, and when full garbage collections run."""

import ctypes
import gc
from collections.abc import Callable

_M_ARENA_MAX = -8
"""`M_ARENA_MAX` in glibc's malloc.h."""
_BUSY_THRESHOLD = 1000
"""Number of cheap collections before a full one while the app is busy."""
_IDLE_THRESHOLD = 10
"""Number of cheap collections after which a full one may be worthwhile."""


class GcControl:
    """The schedule of the process's full garbage collections: they run while the app is idle.

    One blocks the keys for about 100 ms, and by default Python runs one every few seconds while an
    answer is rendered. `before_collect` drops stale references, so that their objects can be freed.
    """

    def __init__(self, before_collect: Callable[[], None] = lambda: None) -> None:
        self._before_collect = before_collect
        self._original_threshold = gc.get_threshold()

    def start(self) -> None:
        """Freeze all current objects (mostly imported modules) and make full collections rare."""
        gc.freeze()
        gc.set_threshold(*self._original_threshold[:2], _BUSY_THRESHOLD)
        trim_heap()

    def collect(self) -> None:
        """Run a full collection if it may be worthwhile; call it while idle."""
        if gc.get_count()[2] > _IDLE_THRESHOLD:
            self._before_collect()
            gc.collect()
            trim_heap()

    def stop(self) -> None:
        """Restore Python's default behaviour."""
        gc.unfreeze()
        gc.set_threshold(*self._original_threshold)


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
