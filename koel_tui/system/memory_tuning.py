"""Full garbage collections while the app is idle; one blocks the keys for about 100 ms."""

import gc
from collections.abc import Callable

from koel_tui.system.heap import trim_heap

_BUSY_THRESHOLD = 1000
"""Number of cheap collections before a full one while the app is busy."""
_IDLE_THRESHOLD = 10
"""Number of cheap collections after which a full one may be worthwhile."""


class GcControl:
    """The schedule of the process's full garbage collections.

    By default Python runs one every few seconds while an answer is rendered. `before_collect` drops
    stale references, so that their objects can be freed.
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
