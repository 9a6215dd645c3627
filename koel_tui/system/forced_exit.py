"""The end of a program that a signal has ended, when its own way out takes too long."""

import os
import termios
import threading
from contextlib import suppress
from typing import Any

END_WITHIN = 3.0
"""Seconds from the signal to the end of the process, whatever is under way."""

_STDIN = 0
_STDERR = 2
_PATIENCE = 0.2
"""Seconds for a terminal to take the sequences; one that has stalled does not."""
_WINDOW_MODES = (
    "\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"
    "\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"
)
"""What leaves everything that the window switched on in its terminal."""


class ForcedExit:
    """Gives the terminal back and ends the process, some seconds after it is armed.

    For what no event loop can end: a disk that does not answer, or a terminal that takes nothing.
    """

    def __init__(self, *, window: bool = False, within: float = END_WITHIN) -> None:
        """Take note of the terminal as it is before the program; `window` is what changes it."""
        self._within = within
        self._sequences = _WINDOW_MODES if window else ""
        self._code = 0
        self._timer: threading.Timer | None = None
        self._modes: list[Any] | None = None
        with suppress(termios.error):
            self._modes = termios.tcgetattr(_STDIN)

    def arm(self, code: int) -> None:
        """End the process with this code in a while, unless it ends before; only once."""
        if self._timer is None:
            self._code = code
            self._timer = threading.Timer(self._within, self._end)
            self._timer.daemon = True
            self._timer.start()

    def settle(self, code: int) -> None:
        """End with this code instead: what was to be saved is saved."""
        self._code = code

    def _end(self) -> None:
        if self._modes is not None:
            with suppress(termios.error):
                termios.tcsetattr(_STDIN, termios.TCSANOW, self._modes)
        if self._sequences:
            # Beside this thread: a terminal that has stalled would keep it for ever.
            writing = threading.Thread(target=self._reset, daemon=True)
            writing.start()
            writing.join(_PATIENCE)
        os._exit(self._code)

    def _reset(self) -> None:
        with suppress(OSError):
            os.write(_STDERR, self._sequences.encode())
