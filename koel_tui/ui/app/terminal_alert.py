"""Terminal bell and title that alert the user when an answer ends in an unfocused terminal."""

from collections.abc import Callable

from koel_tui.text import safe_line

_PUSH_TITLE, _POP_TITLE = "\x1b[22;0t", "\x1b[23;0t"
"""Control sequences that push the title on the terminal's stack and pop it again."""
_BELL = "\x07"
_PROGRAM = "koel-chat"
_MAX_TITLE = 60


class TerminalAlert:
    """Tracks the focus of the terminal and alerts the user, unless `enabled` is False."""

    def __init__(self, write: Callable[[str], None], *, enabled: bool = True) -> None:
        """`write` sends control sequences to the terminal."""
        self.enabled = enabled
        self._write = write
        self._is_blurred = False  # stays False in terminals without focus reporting
        self._is_titled = False

    def on_blur(self) -> None:
        """Record that the terminal lost the focus."""
        self._is_blurred = True

    def on_focus(self) -> None:
        """Record that the terminal regained the focus, and restore its title."""
        self._is_blurred = False
        if self._is_titled:
            self._is_titled = False
            # Terminals without a title stack keep the name of the program as title.
            self._write(_title_sequence(_PROGRAM) + _POP_TITLE)

    def notify(self, thread: str, *, failed: bool = False) -> None:
        """Report a finished answer, unless the terminal is focused or alerts are disabled."""
        if not (self._is_blurred and self.enabled):
            return
        push = "" if self._is_titled else _PUSH_TITLE  # the stack keeps the user's title
        self._is_titled = True
        mark, state = ("✗", "failed") if failed else ("●", "is done")
        title = f"{mark} {_PROGRAM}: {safe_line(thread, _MAX_TITLE)} {state}"
        self._write(push + _title_sequence(title) + _BELL)


def _title_sequence(title: str) -> str:
    return f"\x1b]0;{title}\x1b\\"
