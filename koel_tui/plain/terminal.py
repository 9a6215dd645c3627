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
_MOST_READ = 65536


class Console(Protocol):
    """A console for printing and reading lines."""

    def say(self, line: str) -> None:
        """Print a line. Raises OSError if the terminal was closed."""
        ...

    async def line(self, prompt: str, typed: str = "") -> str | None:
        """Read a line, with `typed` as its initial text; return None at the end of input."""
        ...

    def listening(self, heard: Callable[[str | None], None]) -> AbstractContextManager[None]:
        """Call `heard` with each line typed during a block, and with None at the end of input."""
        ...

    def recall(self, texts: Iterable[str]) -> None:
        """Add texts, oldest first, to the history of the up arrow."""
        ...

    @property
    def typed(self) -> str:
        """The text typed so far in the line being read, or ''."""
        ...

    def close(self) -> None:
        """Restore the terminal's state."""
        ...


class Terminal:
    """The console on the terminal of this process."""

    def __init__(self) -> None:
        self._before = termios.tcgetattr(_STDIN)
        self._prompt: str | None = None
        readline.set_auto_history(False)
        self._pasting_off = ""
        if os.environ.get("TERM") != "dumb":
            self._pasting_off = "\x1b[?2004l"
            readline.parse_and_bind("set enable-bracketed-paste on")  # read a paste as one message

    def say(self, line: str) -> None:
        """Print a line; reprint the line being typed below it."""
        self._write(
            f"{line}\n" if self._prompt is None else f"\n{line}\n{self._prompt}{self.typed}"
        )

    async def line(self, prompt: str, typed: str = "") -> str | None:
        """Read a line, with `typed` as its initial text; return None at the end of input."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str | None] = loop.create_future()

        def read() -> None:
            readline.set_startup_hook(lambda: readline.insert_text(typed))
            try:
                line: str | None = input(prompt)
            except (EOFError, OSError):
                line = None
            with suppress(RuntimeError):  # the event loop may be closed
                loop.call_soon_threadsafe(_set, answer, line)

        self._prompt = prompt
        # A daemon thread, because `input` cannot be cancelled and would block the exit.
        threading.Thread(target=read, name="readline", daemon=True).start()
        line = await answer
        self._prompt = None
        if line is not None:
            self.recall([line])
        return line

    @contextmanager
    def listening(self, heard: Callable[[str | None], None]) -> Iterator[None]:
        """Call `heard` with each line typed during a block, and with None at the end of input."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                data = os.read(_STDIN, _MOST_READ)
            except OSError:
                data = b""
            if not data:
                loop.remove_reader(_STDIN)
                heard(None)
            for line in data.decode(errors="replace").splitlines():
                heard(line)

        loop.add_reader(_STDIN, read)
        try:
            yield
        finally:
            loop.remove_reader(_STDIN)

    def recall(self, texts: Iterable[str]) -> None:
        """Add texts, oldest first, to the history of the up arrow; single-line texts only."""
        for text in texts:
            if text and text.isprintable():
                readline.add_history(text)

    @property
    def typed(self) -> str:
        """The text typed so far in the line being read, or ''."""
        return "" if self._prompt is None else readline.get_line_buffer()

    def close(self) -> None:
        """Restore the terminal's state, with the cursor on a new line."""
        with suppress(OSError):
            if self._prompt is not None:
                self._write(f"{self._pasting_off}\n")
        with suppress(termios.error):
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, self._before)

    def _write(self, text: str) -> None:
        # Unbuffered, because unwritable buffered output would fail again at exit.
        rest = text.encode(sys.stdout.encoding, "replace")
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]


def _set(answer: "asyncio.Future[str | None]", line: str | None) -> None:
    if not answer.done():
        answer.set_result(line)
