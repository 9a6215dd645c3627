"""The raw mode of the terminal on stdin: each byte is delivered at once, and none is echoed."""

import os
import signal
import termios
from contextlib import suppress
from typing import Any

_STDIN = 0
_IFLAG, _LFLAG, _CC = 0, 3, 6
"""The positions of the attributes in the list of `tcgetattr`."""
_INPUT_FLAGS = termios.ICRNL | termios.INLCR | termios.IGNCR | termios.ISTRIP | termios.IXON
_LOCAL_FLAGS = termios.ICANON | termios.ECHO | termios.IEXTEN


class RawTerminal:
    """The attributes of the terminal on stdin. Output is processed as before."""

    def __init__(self) -> None:
        """Save the attributes. Raises `termios.error` if stdin is not a terminal."""
        self._saved: list[Any] = termios.tcgetattr(_STDIN)

    def enter(self, *, signals: bool) -> None:
        """Set the raw mode. With `signals`, ctrl+c, ctrl+z and ctrl+\\ still send signals.

        Without it they are bytes, so that the same bytes in pasted text have no effect.
        """
        attributes = [*self._saved]
        attributes[_IFLAG] &= ~_INPUT_FLAGS
        attributes[_LFLAG] &= ~(_LOCAL_FLAGS | (0 if signals else termios.ISIG))
        attributes[_CC] = [*attributes[_CC]]
        attributes[_CC][termios.VMIN], attributes[_CC][termios.VTIME] = 1, 0
        with suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, attributes)

    def restore(self, *, discard_input: bool = False) -> None:
        """Restore the attributes. `discard_input` keeps unread bytes from the next program."""
        when = termios.TCSAFLUSH if discard_input else termios.TCSADRAIN
        with suppress(termios.error):
            termios.tcsetattr(_STDIN, when, self._saved)


def signal_process_group(number: int) -> None:
    """Send a signal to the foreground processes, as the terminal does for ctrl+z and ctrl+\\.

    The default action is used. Returns after the process has been continued.
    """
    _signal_by_default(0, number)


def stop_this_process() -> None:
    """Stop this process as SIGTSTP does by default. Returns after it has been continued."""
    _signal_by_default(os.getpid(), signal.SIGTSTP)


def _signal_by_default(process: int, number: int) -> None:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        os.kill(process, number)
    finally:
        if before is not None:  # else the handler is not one of Python
            signal.signal(number, before)
