"""A pseudo-terminal that runs the real program: its keys, and the contents of its screen."""

import os
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pexpect
import pyte

PROGRAM = str(Path(sys.executable).with_name("koel-chat"))
KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "delete": "\x1b[3~",
    "ctrl+c": "\x03",
    "ctrl+d": "\x04",
    "ctrl+r": "\x12",
    "ctrl+s": "\x13",
    "ctrl+u": "\x15",
    "ctrl+z": "\x1a",
    "f2": "\x1bOQ",
    "ctrl+g": "\x07",
    "ctrl+n": "\x0e",
    "ctrl+o": "\x0f",
    "ctrl+p": "\x10",
    "ctrl+q": "\x11",
    "f1": "\x1bOP",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
    "f9": "\x1b[20~",
    "ctrl+t": "\x14",
    "alt+1": "\x1b1",
    "alt+2": "\x1b2",
    "alt+c": "\x1bc",
    "alt+e": "\x1be",
    "alt+g": "\x1bg",
    "alt+n": "\x1bn",
    "alt+m": "\x1bm",
    "alt+q": "\x1bq",
    "alt+s": "\x1bs",
    "alt+w": "\x1bw",
    "alt+x": "\x1bx",
    "alt+left": "\x1b[1;3D",
    "alt+shift+s": "\x1bS",
    "alt+shift+w": "\x1bW",
    "ctrl+pgup": "\x1b[5;5~",
    "ctrl+pgdn": "\x1b[6;5~",
}


_SIZE = ("COLUMNS", "LINES")


class Terminal:
    """One run of the program in a pseudo-terminal; use it as a context manager."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 100,
        rows: int = 30,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (PROGRAM,),
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.bytes = b""
        self.child = pexpect.spawn(
            command[0],
            [*command[1:], *arguments],
            dimensions=(rows, columns),
            # KOEL_TITLES: generated titles would appear at an unpredictable time.
            env={
                # The size variables of the outer terminal would override this size.
                **{name: value for name, value in os.environ.items() if name not in _SIZE},
                "TERM": "xterm-256color",
                "KOEL_TITLES": "false",
                # More threads would slow parallel tests, and most of the time of a model load is
                # the creation of its contexts.
                "KOEL_THREADS": "1",
                "KOEL_MAX_SESSIONS": "3",
                **(environment or {}),
            },
            timeout=10,
        )
        self._before = termios.tcgetattr(self.child.child_fd)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            sys.stderr.write(f"the screen when it failed:\n{self.text}\n")
        self.child.close(force=True)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.child.send(KEYS[key])

    def type(self, text: str) -> None:
        self.child.send(text)

    def ask(self, text: str) -> None:
        """Type a question, wait until the prompt shows it, and send it."""
        self.type(text)
        self.until(lambda screen: text[-20:] in screen)
        self.press("enter")

    @property
    def text(self) -> str:
        """The current text of the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def cells(self) -> list[list[pyte.screens.Char]]:
        """The current characters of the screen, with their colours."""
        columns, buffer = range(self._screen.columns), self._screen.buffer
        return [[buffer[y][x] for x in columns] for y in range(self._screen.lines)]

    @property
    def title(self) -> str:
        """The title of the terminal's window; empty if none was set."""
        return str(self._screen.title)

    @property
    def modes(self) -> set[int]:
        """The active private modes; for example, 2004 is bracketed paste."""
        return {mode >> 5 for mode in self._screen.mode if mode >= 32}

    @property
    def label_row(self) -> str:
        """The row with the tabs."""
        return str(self._screen.display[0])

    def until(self, condition: Callable[[str], object], seconds: float = 30.0) -> str:
        """Wait until `condition` holds for the screen's text; return the text, or fail."""
        end = time.monotonic() + seconds
        while not condition(self.text):
            if time.monotonic() > end:
                raise AssertionError(f"not seen within {seconds} s; the screen:\n{self.text}")
            self._read()
        return self.text

    def wait(self, seconds: float = 10.0) -> int:
        """Read until the program ends and return its exit code."""
        end = time.monotonic() + seconds
        while self._read():
            if time.monotonic() > end:
                raise AssertionError(f"still running after {seconds} s; the screen:\n{self.text}")
        self.child.wait()
        status = self.child.exitstatus
        return -(self.child.signalstatus or 0) if status is None else int(status)

    def restored(self) -> bool:
        """Return whether the terminal has the modes that it had before the program."""
        modes = termios.tcgetattr(self.child.child_fd)[3]
        flags = termios.ICANON | termios.ECHO
        left = all(
            self.bytes.rfind(b"\x1b[?%dl" % mode) >= self.bytes.rfind(b"\x1b[?%dh" % mode)
            for mode in (1000, 1049, 2004)
        )
        return bool(modes & flags == self._before[3] & flags and left)

    def forget_screen(self) -> None:
        """Clear the emulated screen, so that it shows only text that is painted after this."""
        self._screen.reset()

    def hang_up(self) -> None:
        """Close the terminal, as a terminal emulator does when its window is closed."""
        self.child.ptyproc.fileobj.close()  # type: ignore[attr-defined]  # not in the stubs

    def _read(self) -> bool:
        try:
            data = self.child.read_nonblocking(65536, timeout=0.05)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        assert isinstance(data, bytes)
        self.bytes += data
        self._stream.feed(data.replace(b"\x1b[=0u", b""))  # pyte prints a part of it
        return True
