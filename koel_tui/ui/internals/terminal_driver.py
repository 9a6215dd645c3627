"""The terminal: what is read from it and written to it, when it is left and when it is gone."""

import termios
from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from textual.app import App
from textual.drivers import linux_driver
from textual.drivers._writer_thread import WriterThread


def remember_copied(app: App[int], text: str) -> None:
    """Make `text` what is pasted within the window, as Textual does when it copies."""
    app._clipboard = text


def write_to_terminal(app: App[int], sequence: str) -> None:
    """Send a control sequence to the terminal, if there is one."""
    if app._driver is not None:
        app._driver.write(sequence)


@contextmanager
def handed_over(app: App[int]) -> Iterator[None]:
    """Leave the terminal to another program for a block; meanwhile nothing is painted.

    Raises `SuspendNotSupported` where there is no terminal to leave.
    """
    failed: BaseException | None = None
    with app.batch_update(), app.suspend():
        try:
            yield
        except BaseException as error:  # Textual takes the terminal back only when it sees none
            failed = error
    app.refresh(layout=True)
    if failed is not None:
        raise failed


class _Writer(WriterThread):
    """Textual's writer, which goes on taking what is written when there is no terminal any more.

    Textual's own ends then, and whoever writes waits for it for ever: the whole window.
    """

    def run(self) -> None:
        """Write until the end, or until writing fails; then only take."""
        try:
            super().run()
        except OSError:
            while self._queue.get() is not None:
                pass


def outlive_terminal() -> None:
    """Make the window able to save and end when its terminal has gone."""
    linux_driver.WriterThread = _Writer  # type: ignore[attr-defined]  # where Textual takes it from


def take_any_bytes() -> None:
    """Make the window take for a � what comes from the terminal and is no UTF-8.

    Textual ends the window by it, with a traceback and as if all were well.
    """
    linux_driver.getincrementaldecoder = _forgiving  # type: ignore[assignment, attr-defined]  # as above


def _forgiving(encoding: str) -> "partial[IncrementalDecoder]":
    return partial(getincrementaldecoder(encoding), "replace")


class TerminalDriver(linux_driver.LinuxDriver):
    """Textual's driver, which goes on well after a stop, also after one that nobody announced."""

    # On the loop, and not wherever the signal meets it: it may hold the lock of the writer's queue.

    def _sigtstp_application(self, *_: object) -> None:
        if self._auto_restart:
            self._loop.call_soon_threadsafe(super()._sigtstp_application)
        else:
            super()._sigtstp_application()

    def _sigcont_application(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._go_on)

    def _go_on(self) -> None:
        if self._must_signal_resume:
            super()._sigcont_application()
            self._app.refresh(layout=True)  # the terminal is empty
        elif self._auto_restart:
            self._begin_again()

    def _begin_again(self) -> None:
        # After SIGSTOP: only to begin would take the modes of the window for those before it, and
        # read keys in two threads.
        self.suspend_application_mode()
        self.resume_application_mode()
        self._app.refresh(layout=True)


def terminal_gone(app: App[int]) -> bool:
    """Return whether the terminal of a window has hung up. Textual reads on, as fast as it can."""
    if not isinstance(app._driver, linux_driver.LinuxDriver):
        return False
    try:
        termios.tcgetattr(app._driver.fileno)
    except termios.error:
        return True
    return False
