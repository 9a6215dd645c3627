"""A forced exit after a signal, if the regular shutdown takes too long."""

import os
import termios
import threading
from contextlib import suppress
from typing import Any

EXIT_TIMEOUT = 3.0
"""Deadline in seconds from the signal to the exit of the process."""

_STDIN = 0
_STDERR = 2
_WRITE_TIMEOUT = 0.2
"""Timeout in seconds for writing the sequences; a stalled terminal blocks the write."""
_WINDOW_MODES = (
    "\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"
    "\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"
)
"""The sequences that reset every terminal mode that the app sets."""


class ForcedExit:
    """A timer that restores the terminal and exits the process some seconds after it is scheduled.

    For calls that block the event loop: a disk that does not respond, or a stalled terminal.
    """

    def __init__(self, *, window: bool = False, timeout: float = EXIT_TIMEOUT) -> None:
        """Save the terminal's modes; `window`: also reset the modes that the app sets."""
        self._timeout = timeout
        self._sequences = _WINDOW_MODES if window else ""
        self._code = 0
        self._timer: threading.Timer | None = None
        self._modes: list[Any] | None = None
        with suppress(termios.error):
            self._modes = termios.tcgetattr(_STDIN)

    def schedule(self, code: int) -> None:
        """Start the timer that exits with this code; later calls have no effect."""
        if self._timer is None:
            self._code = code
            self._timer = threading.Timer(self._timeout, self._exit_now)
            self._timer.daemon = True
            self._timer.start()

    def set_exit_code(self, code: int) -> None:
        """Replace the exit code, once everything is saved."""
        self._code = code

    def _exit_now(self) -> None:
        if self._modes is not None:
            with suppress(termios.error):
                termios.tcsetattr(_STDIN, termios.TCSANOW, self._modes)
        if self._sequences:
            # In another thread, because a stalled terminal would block this one indefinitely.
            writing = threading.Thread(target=self._reset, daemon=True)
            writing.start()
            writing.join(_WRITE_TIMEOUT)
        os._exit(self._code)

    def _reset(self) -> None:
        with suppress(OSError):
            os.write(_STDERR, self._sequences.encode())
