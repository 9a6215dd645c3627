"""Calls a user who looks elsewhere: the bell, and the terminal's title, when an answer ends."""

from collections.abc import Callable

from koel_tui.text import safe_line

_KEEP, _BRING_BACK = "\x1b[22;0t", "\x1b[23;0t"
"""The title that is there goes on a stack of the terminal's, and comes from there again."""
_BELL = "\x07"
_PROGRAM = "koel-chat"
_LONGEST = 60


class TerminalAlert:
    """Knows whether the terminal has the focus, and calls for it; `wanted` says whether at all."""

    def __init__(self, write: Callable[[str], None], *, wanted: bool = True) -> None:
        """Make it; `write` sends control sequences to the terminal."""
        self.wanted = wanted
        self._write = write
        self._away = False  # and never otherwise in a terminal that does not tell
        self._titled = False

    def look_away(self) -> None:
        """Take note that the terminal has lost the focus."""
        self._away = True

    def look_back(self) -> None:
        """Take note that the user is here, and give the terminal its own title again."""
        self._away = False
        if self._titled:
            self._titled = False
            # A terminal that keeps no titles is left with the name of the program.
            self._write(_titled(_PROGRAM) + _BRING_BACK)

    def call(self, thread: str, *, failed: bool = False) -> None:
        """Tell that a thread has its answer, unless somebody looks or nobody wants to know."""
        if not (self._away and self.wanted):
            return
        keep = "" if self._titled else _KEEP
        self._titled = True
        mark, state = ("✗", "failed") if failed else ("●", "is done")
        title = f"{mark} {_PROGRAM}: {safe_line(thread, _LONGEST)} {state}"
        self._write(keep + _titled(title) + _BELL)


def _titled(title: str) -> str:
    return f"\x1b]0;{title}\x1b\\"
