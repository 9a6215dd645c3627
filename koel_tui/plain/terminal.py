"""Line-based terminal input and output; input is edited with readline."""

import asyncio
import os
import readline
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

_STDIN = 0
_STDOUT = 1
_MAX_READ = 65536


class Console(Protocol):
    """A console for printing and reading lines."""

    def print_line(self, line: str) -> None:
        """Print a line. Raises OSError if the terminal was closed."""
        ...

    async def read_line(self, prompt: str, initial: str = "") -> str | None:
        """Read a line, with `initial` as its initial text; return None at the end of input."""
        ...

    def reading_lines(self, on_line: Callable[[str | None], None]) -> AbstractContextManager[None]:
        """Call `on_line` with each line typed during a block, and with None at the end of input."""
        ...

    def add_history(self, texts: Iterable[str]) -> None:
        """Add texts, oldest first, to the history of the up arrow."""
        ...

    @property
    def typed_text(self) -> str:
        """The text typed so far in the line being read, or ''."""
        ...

    def close(self) -> None:
        """Restore the terminal's state."""
        ...


class ReadlineConsole:
    """The console on the terminal of this process."""

    def __init__(self) -> None:
        self._saved_attributes = termios.tcgetattr(_STDIN)
        self._prompt: str | None = None
        readline.set_auto_history(False)
        self._disable_bracketed_paste = ""
        if os.environ.get("TERM") != "dumb":
            self._disable_bracketed_paste = "\x1b[?2004l"
            readline.parse_and_bind("set enable-bracketed-paste on")  # read a paste as one message

    def print_line(self, line: str) -> None:
        """Print a line; reprint the line being typed below it."""
        self._write(
            f"{line}\n" if self._prompt is None else f"\n{line}\n{self._prompt}{self.typed_text}"
        )

    async def read_line(self, prompt: str, initial: str = "") -> str | None:
        """Read a line, with `initial` as its initial text; return None at the end of input."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str | None] = loop.create_future()

        def read() -> None:
            readline.set_startup_hook(lambda: readline.insert_text(initial))
            try:
                line: str | None = input(prompt)
            except (EOFError, OSError):
                line = None
            with suppress(RuntimeError):  # the event loop may be closed
                loop.call_soon_threadsafe(_resolve, answer, line)

        self._prompt = prompt
        # A daemon thread, because `input` cannot be cancelled and would block the exit.
        threading.Thread(target=read, name="readline", daemon=True).start()
        line = await answer
        self._prompt = None
        if line is not None:
            self.add_history([line])
        return line

    @contextmanager
    def reading_lines(self, on_line: Callable[[str | None], None]) -> Iterator[None]:
        """Call `on_line` with each line typed during a block, and with None at the end of input."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                data = os.read(_STDIN, _MAX_READ)
            except OSError:
                data = b""
            if not data:
                loop.remove_reader(_STDIN)
                on_line(None)
            for line in data.decode(errors="replace").splitlines():
                on_line(line)

        loop.add_reader(_STDIN, read)
        try:
            yield
        finally:
            loop.remove_reader(_STDIN)

    def add_history(self, texts: Iterable[str]) -> None:
        """Add texts, oldest first, to the history of the up arrow; single-line texts only."""
        for text in texts:
            if text and text.isprintable():
                readline.add_history(text)

    @property
    def typed_text(self) -> str:
        """The text typed so far in the line being read, or ''."""
        return "" if self._prompt is None else readline.get_line_buffer()

    def close(self) -> None:
        """Restore the terminal's state, with the cursor on a new line."""
        with suppress(OSError):
            if self._prompt is not None:
                self._write(f"{self._disable_bracketed_paste}\n")
        with suppress(termios.error):
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, self._saved_attributes)

    def _write(self, text: str) -> None:
        # Unbuffered, because unwritable buffered output would fail again at exit.
        rest = text.encode(sys.stdout.encoding, "replace")
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]


def _resolve(answer: "asyncio.Future[str | None]", line: str | None) -> None:
    if not answer.done():
        answer.set_result(line)
