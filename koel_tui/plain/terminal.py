"""Line-based terminal input and output. The program reads and edits the input itself.

GNU readline keeps the lines of a paste together, libedit does not, and neither reads while an
answer is written. One reader of all bytes keeps a paste together in each of these cases.
"""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.plain.input_decoder import InputDecoder, InputEvent, Key, Paste
from koel_tui.plain.line_display import LineDisplay
from koel_tui.plain.line_editor import LineEditor
from koel_tui.system.forced_exit import BRACKETED_PASTE_OFF
from koel_tui.system.raw_terminal import RawTerminal, signal_process_group, stop_this_process

_STDIN = 0
_STDOUT = 1
_MAX_READ = 65536
_DEFAULT_COLUMNS = 80
_DEFAULT_ROWS = 24
_BRACKETED_PASTE_ON = "\x1b[?2004h"
_PLAIN_KEYS = "\x1b[=0u"
"""Ends the key reports of kitty, which a killed program may have left on."""
_WITHOUT_PASTE_MARKERS = ("dumb", "linux", "eterm", "vt", "ansi", "cons")
"""The beginnings of TERM for terminals that cannot put markers around pasted text."""
_IMMEDIATE_SIGNALS = {
    "interrupt": signal.SIGINT, "suspend": signal.SIGTSTP, "quit": signal.SIGQUIT
}  # fmt: skip


class Console(Protocol):
    """A console for printing and reading lines."""

    def print_line(self, line: str) -> None:
        """Print a line. Raises OSError if the terminal was closed."""
        ...

    async def read_line(self, prompt: str, initial: str = "") -> str | None:
        """Read a line, with `initial` as its initial text; return None at the end of input.

        A pasted text of several lines is one line, with line breaks in it.
        """
        ...

    def reading_lines(self, on_line: Callable[[str | None], None]) -> AbstractContextManager[None]:
        """Call `on_line` with each line typed during a block, and with None at the end of input."""
        ...

    def add_history(self, texts: Iterable[str]) -> None:
        """Add texts, oldest first, to the history of the up arrow."""
        ...

    @property
    def typed_text(self) -> str:
        """The text that has been typed but not entered, or ''."""
        ...

    def keep_unread_input(self) -> None:
        """Add input that no read has handled to the typed text; for the end of the chat."""
        ...

    def close(self) -> None:
        """Restore the terminal's state."""
        ...


class TerminalConsole:
    """The console on the terminal of this process."""

    def __init__(self, pastes: PastePlaceholders, environment: Mapping[str, str]) -> None:
        """`environment` describes the terminal. `pastes` keeps the text of large pastes."""
        is_dumb = environment.get("TERM", "") in ("", "dumb")
        self._raw = RawTerminal()
        self._may_report_keys = marks_pastes(environment)  # older ones show the request
        self._decoder = InputDecoder(
            sys.stdin.encoding, has_paste_markers=marks_pastes(environment)
        )
        self._editor = LineEditor(pastes)
        self._display = LineDisplay(self._write, _size, can_move=not is_dumb)
        self.has_paste_markers = not is_dumb
        """True if the terminal is asked to put markers around pasted text; it may not do so."""
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop that reads the terminal, from the first read on."""
        self._timer: asyncio.TimerHandle | None = None
        self._prompt: str | None = None
        """The prompt while lines are read; None while they wait."""
        self._on_line: Callable[[str | None], None] | None = None
        self._events: deque[InputEvent | None] = deque()
        """The events that have not been handled; None for the end of input."""

    def print_line(self, line: str) -> None:
        """Print a line; show the text being typed again below it."""
        self._open()
        if self._display.is_shown:
            self._display.leave()
        self._write(f"{line}\n")
        self._show()

    async def read_line(self, prompt: str, initial: str = "") -> str | None:
        """Read a line, with `initial` as its initial text; return None at the end of input."""
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def on_line(line: str | None) -> None:
            self._on_line = None  # the next line is for the next read
            if not answer.done():  # the read may be cancelled
                answer.set_result(line)

        self._editor.begin(initial)
        with self._reading(prompt, on_line):
            return await answer

    @contextmanager
    def reading_lines(self, on_line: Callable[[str | None], None]) -> Iterator[None]:
        """Call `on_line` with each line typed during a block, and with None at the end of input."""
        with self._reading("", on_line):
            yield

    def add_history(self, texts: Iterable[str]) -> None:
        """Add texts, oldest first, to the history of the up arrow."""
        self._editor.add_history(texts)

    @property
    def typed_text(self) -> str:
        """The text that has been typed but not entered, or ''."""
        return self._editor.text

    def keep_unread_input(self) -> None:
        """Add input that no read has handled to the typed text; for the end of the chat."""
        lines: list[str] = []
        self._events += self._flushed()
        while self._events:
            event = self._events.popleft()
            if event == Key("enter"):
                lines.append(self._editor.take())
            elif event is not None:
                self._edit(event)
        self._editor.begin("\n".join(lines))

    def close(self) -> None:
        """Restore the terminal's state, with the cursor on a new line."""
        if not self._is_open:
            return
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(_STDIN)
            self._loop.remove_signal_handler(signal.SIGCONT)
        if signal.getsignal(signal.SIGTSTP) == self._on_stop_signal:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        with suppress(OSError):
            self._reset_modes()

    @contextmanager
    def _reading(self, prompt: str, on_line: Callable[[str | None], None]) -> Iterator[None]:
        self._open()
        self._attach()
        self._prompt, self._on_line = prompt, on_line
        self._handle_events()
        try:
            yield
        finally:
            self._prompt = self._on_line = None

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            if signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:  # a parent may have ignored it
                with suppress(ValueError):  # outside the main thread
                    signal.signal(signal.SIGTSTP, self._on_stop_signal)
            self._set_modes()

    def _set_modes(self) -> None:
        # Ctrl+c is a byte only after the event loop has begun to read it.
        self._raw.enter(signals=self._loop is None)
        if self.has_paste_markers:
            self._write(_BRACKETED_PASTE_ON)
        if self._may_report_keys:
            self._write(_PLAIN_KEYS)

    def _reset_modes(self) -> None:
        # The rest of a paste must not become the input of the shell.
        self._raw.restore(discard_input=self._decoder.is_pasting)
        if self.has_paste_markers:
            self._write(BRACKETED_PASTE_OFF)
        if self._display.is_shown:
            self._display.leave()

    def _attach(self) -> None:
        """Read the terminal on the event loop, until the console is closed."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(_STDIN, self._read)
        with suppress(RuntimeError, ValueError):  # outside the main thread
            self._loop.add_signal_handler(signal.SIGCONT, self._resume)
        self._set_modes()

    def _read(self) -> None:
        try:
            data = os.read(_STDIN, _MAX_READ)
        except OSError:
            data = b""
        if data:
            self._receive(self._decoder.feed(data))
        elif self._loop is not None:
            self._loop.remove_reader(_STDIN)
            self._receive([*self._flushed(), None])

    def _flushed(self) -> Iterator[InputEvent]:
        """Yield the events of all bytes that have been read."""
        while self._decoder.timeout is not None:
            yield from self._decoder.flush()

    def _receive(self, events: Iterable[InputEvent | None]) -> None:
        self._restart_timer()
        for event in events:
            if isinstance(event, Key) and event.name in _IMMEDIATE_SIGNALS:
                self._handle_events()  # the keys before it
                self._raise_signal(_IMMEDIATE_SIGNALS[event.name])
            else:
                self._events.append(event)
        self._handle_events()

    def _restart_timer(self) -> None:
        if self._timer is not None:
            if not self._decoder.extends_wait:
                return
            self._timer.cancel()
            self._timer = None
        if self._loop is not None and self._decoder.timeout is not None:
            self._timer = self._loop.call_later(self._decoder.timeout, self._on_pause)

    def _on_pause(self) -> None:
        self._timer = None
        self._receive(self._decoder.flush())

    def _handle_events(self) -> None:
        """Handle the received events while a line is read."""
        while self._events and self._on_line is not None:
            event = self._events.popleft()
            is_empty = not self._editor.text
            if event is None or (event == Key("ctrl+d") and is_empty):
                self._on_line(None)
            elif event == Key("enter"):
                self._show()
                with suppress(OSError):
                    self._display.leave()
                self._on_line(self._editor.take())
            else:
                self._edit(event)
        if self._on_line is not None:
            self._show()

    def _edit(self, event: InputEvent) -> None:
        if isinstance(event, Key):
            self._editor.press("delete" if event.name == "ctrl+d" else event.name)
        elif isinstance(event, Paste):
            self._editor.paste(event.text)
        else:
            self._editor.type(event.text)

    def _show(self) -> None:
        if self._prompt is not None:
            with suppress(OSError):  # `print_line` reports a closed terminal
                self._display.show(self._prompt, self._editor.text, self._editor.cursor)

    def _raise_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGINT:
            signal.raise_signal(number)
            return
        self._stop(lambda: signal_process_group(number))

    def _on_stop_signal(self, *_: object) -> None:
        # From the terminal before the first read, or from another process at any time.
        self._stop(stop_this_process)

    def _stop(self, stop: Callable[[], None]) -> None:
        """Call `stop` with the terminal in its previous state; it returns when the user returns."""
        with suppress(OSError):
            self._reset_modes()
        stop()
        self._resume()

    def _resume(self) -> None:
        """Set the modes after the process was stopped, and show the text again."""
        with suppress(OSError):
            self._set_modes()
        self._show()

    def _write(self, text: str) -> None:
        # Unbuffered, because unwritable buffered output would fail again at exit.
        rest = text.encode(sys.stdout.encoding, "replace")
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]


def marks_pastes(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal is expected to put markers around pasted text.

    GNU screen before version 5 does not, even in a terminal that does. ssh passes on only its TERM.
    """
    terminal = environment.get("TERM", "")
    is_screen = "TMUX" not in environment and (
        "STY" in environment or terminal.startswith("screen")
    )
    return bool(terminal) and not terminal.startswith(_WITHOUT_PASTE_MARKERS) and not is_screen


def _size() -> tuple[int, int]:
    """Return the columns and rows of the terminal; an unknown size is reported as 0."""
    with suppress(OSError):
        columns, rows = os.get_terminal_size(_STDOUT)
        return columns or _DEFAULT_COLUMNS, rows or _DEFAULT_ROWS
    return _DEFAULT_COLUMNS, _DEFAULT_ROWS
