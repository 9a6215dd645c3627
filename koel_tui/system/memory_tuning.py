"""Full garbage collections while the app is idle; one blocks the keys for about 100 ms."""

import gc
from collections.abc import Callable

from koel_tui.system.heap import give_back

_SELDOM = 1000
"""Number of cheap collections before a full one while the app is busy."""
_ENOUGH = 10
"""Number of cheap collections after which a full one may be worthwhile."""


class GcControl:
    """The schedule of the process's full garbage collections.

    By default Python runs one every few seconds while an answer is rendered. `let_go` is called
    before a collection, to drop stale references so that their objects can be freed.
    """

    def __init__(self, let_go: Callable[[], None] = lambda: None) -> None:
        self._let_go = let_go
        self._before = gc.get_threshold()

    def begin(self) -> None:
        """Freeze all current objects (mostly imported modules) and make full collections rare."""
        gc.freeze()
        gc.set_threshold(*self._before[:2], _SELDOM)
        give_back()

    def tidy(self) -> None:
        """Run a full collection if it may be worthwhile; call it while idle."""
        if gc.get_count()[2] > _ENOUGH:
            self._let_go()
            gc.collect()
            give_back()

    def end(self) -> None:
        """Restore Python's default behaviour."""
        gc.unfreeze()
        gc.set_threshold(*self._before)
