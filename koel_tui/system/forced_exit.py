"""A forced exit after a signal, if the regular shutdown takes too long."""

import os
import termios
import threading
from contextlib import suppress
from typing import Any

EXIT_TIMEOUT = 3.0
"""Seconds from `schedule` to the exit of the process."""

_STDIN = 0
_STDOUT = 1
_STDERR = 2
_WRITE_TIMEOUT = 0.2
"""Seconds to wait for the reset sequences to be written; a stalled terminal blocks the write."""
BRACKETED_PASTE_OFF = "\x1b[?2004l"
"""The sequence that ends the markers around pasted text."""
_RESET_SEQUENCES = (
    f"{BRACKETED_PASTE_OFF}"
    "\x1b[?7h"  # line wrap
    "\x1b[?2048l"  # reports of a new size
    "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"  # mouse
    "\x1b[<u"  # keyboard protocol
    "\x1b[?1049l"  # alternate screen
    "\x1b[?25h"  # cursor
    "\x1b[?1004l"  # reports of focus
)
"""The sequences that reset every terminal mode that the app sets."""


class ForcedExit:
    """A timer that restores the terminal and exits the process.

    The regular shutdown runs on the event loop, which a call can block: a read from a disk that
    does not respond, or a write to a stalled terminal. The timer has its own thread and fires
    anyway.
    """

    def __init__(self, *, window: bool = False, paste_markers: bool = False) -> None:
        """Save the attributes of the terminal, which the exit restores.

        With `window`, the exit also resets the modes that the app sets on stderr; with
        `paste_markers`, only the markers around pasted text, on stdout.
        """
        self._sequences = _RESET_SEQUENCES if window else ""
        self._output = _STDERR
        if paste_markers:
            self._sequences, self._output = BRACKETED_PASTE_OFF, _STDOUT
        self._code = 0
        self._timer: threading.Timer | None = None
        self._attributes: list[Any] | None = None
        with suppress(termios.error):  # stdin is not a terminal
            self._attributes = termios.tcgetattr(_STDIN)

    def schedule(self, code: int) -> None:
        """Start the timer that exits with this code; later calls have no effect."""
        if self._timer is None:
            self._code = code
            self._timer = threading.Timer(EXIT_TIMEOUT, self._exit_now)
            self._timer.daemon = True
            self._timer.start()

    def set_exit_code(self, code: int) -> None:
        """Replace the code of a scheduled exit, for example when everything has been saved."""
        self._code = code

    def _exit_now(self) -> None:
        if self._attributes is not None:
            with suppress(termios.error):
                termios.tcsetattr(_STDIN, termios.TCSANOW, self._attributes)
        if self._sequences:
            # In another thread, because a stalled terminal would block this one indefinitely.
            writer = threading.Thread(target=self._write_sequences, daemon=True)
            writer.start()
            writer.join(_WRITE_TIMEOUT)
        os._exit(self._code)

    def _write_sequences(self) -> None:
        with suppress(OSError):
            os.write(self._output, self._sequences.encode())
