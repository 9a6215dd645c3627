"""Terminal bell and title that alert the user when an answer ends in an unfocused terminal."""

from collections.abc import Callable

from koel_tui.text import safe_line

_KEEP, _BRING_BACK = "\x1b[22;0t", "\x1b[23;0t"
"""Control sequences that push the title on the terminal's stack and pop it again."""
_BELL = "\x07"
_PROGRAM = "koel-chat"
_LONGEST = 60


class TerminalAlert:
    """Tracks the focus of the terminal and alerts the user; `wanted` enables the alerts."""

    def __init__(self, write: Callable[[str], None], *, wanted: bool = True) -> None:
        """`write` sends control sequences to the terminal."""
        self.wanted = wanted
        self._write = write
        self._away = False  # stays False in terminals without focus reporting
        self._titled = False

    def look_away(self) -> None:
        """Record that the terminal lost the focus."""
        self._away = True

    def look_back(self) -> None:
        """Record that the terminal regained the focus, and restore its title."""
        self._away = False
        if self._titled:
            self._titled = False
            # Terminals without a title stack keep the name of the program as title.
            self._write(_titled(_PROGRAM) + _BRING_BACK)

    def call(self, thread: str, *, failed: bool = False) -> None:
        """Report a finished answer, unless the terminal is focused or alerts are disabled."""
        if not (self._away and self.wanted):
            return
        keep = "" if self._titled else _KEEP
        self._titled = True
        mark, state = ("✗", "failed") if failed else ("●", "is done")
        title = f"{mark} {_PROGRAM}: {safe_line(thread, _LONGEST)} {state}"
        self._write(keep + _titled(title) + _BELL)


def _titled(title: str) -> str:
    return f"\x1b]0;{title}\x1b\\"
