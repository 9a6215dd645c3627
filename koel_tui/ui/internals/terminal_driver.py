"""Terminal access: input decoding, output, suspend and resume, and hangup."""

import os
import termios
from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from textual.app import App
from textual.drivers import linux_driver
from textual.drivers._writer_thread import WriterThread

from koel_tui.ui.internals.input_parser import InputParser

_TEXTUAL_REQUEST = "\x1b[>25u"
"""Textual's request for key reports of the kitty keyboard protocol."""
_REQUEST = "\x1b[>29u"
"""Our request. It adds alternate keys (4) to disambiguation (1), all keys (8) and text (16)."""
_TERMS_OF_OTHERS = ("alacritty", "foot", "rio", "wezterm", "xterm-ghostty", "xterm-kitty")
"""The beginnings of TERM in terminals that are not iTerm2; ssh passes TERM on."""


def set_internal_clipboard(app: App[int], text: str) -> None:
    """Set the internal clipboard of the app to `text`, as Textual does on copy."""
    app._clipboard = text


def write_to_terminal(app: App[int], sequence: str) -> None:
    """Send a control sequence to the terminal, if there is one."""
    if app._driver is not None:
        app._driver.write(sequence)


@contextmanager
def suspend_app(app: App[int]) -> Iterator[None]:
    """Context manager that hands the terminal to another program; nothing is painted meanwhile.

    Raises `SuspendNotSupported` if there is no terminal.
    """
    failed: BaseException | None = None
    with app.batch_update(), app.suspend():
        try:
            yield
        except BaseException as error:  # Textual resumes only if it sees no exception
            failed = error
    app.refresh(layout=True)
    if failed is not None:
        raise failed


class _Writer(WriterThread):
    """Textual's writer thread, extended to drain its queue after the terminal is gone.

    Textual's own thread ends then, and every write, and so the whole app, would block forever.
    """

    def run(self) -> None:
        """Write until the end or until a write fails; then discard the queue."""
        try:
            super().run()
        except OSError:
            while self._queue.get() is not None:
                pass


def survive_terminal_loss() -> None:
    """Install the writer that lets the app save and exit after its terminal is gone."""
    # Textual looks up this name in its driver module.
    linux_driver.WriterThread = _Writer  # type: ignore[attr-defined]  # not exported


def tolerate_invalid_utf8() -> None:
    """Decode terminal input with errors="replace": invalid UTF-8 becomes �.

    Textual would exit with a traceback and status 0.
    """
    # Textual looks up this name in its driver module. The checker sees neither the name nor that
    # the decoders are interchangeable.
    linux_driver.getincrementaldecoder = _lenient_decoder  # type: ignore[assignment, attr-defined]


def use_input_parser() -> None:
    """Parse terminal input with `InputParser`."""
    # Textual looks up this name in its driver module.
    linux_driver.XTermParser = InputParser  # type: ignore[attr-defined]  # not exported


def keyboard_request(environ: Mapping[str, str]) -> str:
    """Return the request for key reports; empty for iTerm2.

    With key reports iTerm2 does not send the text of input methods, for example Chinese.
    """
    # ssh passes LC_TERMINAL on and TERM_PROGRAM not. Other terminals inherit LC_TERMINAL if they
    # were started in iTerm2, and kitty also TERM_PROGRAM.
    program = environ.get("TERM_PROGRAM") or environ.get("LC_TERMINAL")
    is_other = (
        "KITTY_WINDOW_ID" in environ
        or "ALACRITTY_WINDOW_ID" in environ
        or environ.get("TERM", "").startswith(_TERMS_OF_OTHERS)
    )
    is_iterm = program in ("iTerm.app", "iTerm2") and not is_other
    return "" if is_iterm else _REQUEST


def _lenient_decoder(encoding: str) -> "partial[IncrementalDecoder]":
    return partial(getincrementaldecoder(encoding), "replace")


class TerminalDriver(linux_driver.LinuxDriver):
    """Textual's driver, fixed to resume correctly after SIGTSTP and after SIGSTOP.

    It also requests the key reports that `keyboard_request` names.
    """

    def write(self, data: str) -> None:
        """Write to the terminal."""
        super().write(keyboard_request(os.environ) if data == _TEXTUAL_REQUEST else data)

    # Runs on the event loop: the code that a signal interrupts may hold the writer queue's lock.

    def _sigtstp_application(self, *_: object) -> None:
        if self._auto_restart:
            self._loop.call_soon_threadsafe(super()._sigtstp_application)
        else:
            super()._sigtstp_application()

    def _sigcont_application(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._resume)

    def _resume(self) -> None:
        if self._must_signal_resume:
            super()._sigcont_application()
            self._app.refresh(layout=True)  # the terminal was cleared
        elif self._auto_restart:
            self._restart_application_mode()

    def _restart_application_mode(self) -> None:
        # After SIGSTOP, resume alone would save the app's terminal modes as the original ones, and
        # start a second input thread.
        self.suspend_application_mode()
        self.resume_application_mode()
        self._app.refresh(layout=True)


def is_terminal_gone(app: App[int]) -> bool:
    """Return whether the terminal has hung up. Textual would keep reading in a busy loop."""
    if not isinstance(app._driver, linux_driver.LinuxDriver):
        return False
    try:
        termios.tcgetattr(app._driver.fileno)
    except termios.error:
        return True
    return False
