"""Looking for garbage when nobody waits: a full look holds up keys for a tenth of a second."""

import gc
from collections.abc import Callable

from koel_tui.system.heap import give_back

_SELDOM = 1000
"""Full looks while something is being written: after so many smaller ones, which take no time."""
_ENOUGH = 10
"""Smaller looks after which a full one may find something."""


class GcControl:
    """Decides for the process when Python looks through everything for what nobody refers to.

    Left alone it does so every few seconds while an answer is painted. `let_go` is called before,
    to end what refers to things that nobody needs.
    """

    def __init__(self, let_go: Callable[[], None] = lambda: None) -> None:
        self._let_go = let_go
        self._before = gc.get_threshold()

    def begin(self) -> None:
        """Leave out for good what is there by now, most of it imported, and look seldom."""
        gc.freeze()
        gc.set_threshold(*self._before[:2], _SELDOM)
        give_back()

    def tidy(self) -> None:
        """Look now, if there was enough to make garbage; nobody waits."""
        if gc.get_count()[2] > _ENOUGH:
            self._let_go()
            gc.collect()
            give_back()

    def end(self) -> None:
        """Let Python do as it did before."""
        gc.unfreeze()
        gc.set_threshold(*self._before)
