"""A program in a pseudo-terminal: measures its output, its latency and its CPU time."""

import os
import random
import re
import select
import sys
import time
from pathlib import Path
from types import TracebackType

import pexpect
import psutil

DEADLINE = 30.0
LETTERS = "".join(map(chr, [*range(0x3B1, 0x3C9), *range(0x430, 0x450), *range(0x561, 0x587)]))
"""Letters that appear on the screen only if they are typed."""
_READ = 1 << 18
_KEPT = 1 << 16
_LONGEST_FOUND = 1 << 10
"""Maximum length of a match, in bytes. Searching all output again would use the model's CPU."""
KOEL = str(Path(sys.executable).with_name("koel-chat"))
ENTER = "\r"
FOCUS_OUT = "\x1b[O"
FOCUS_IN = "\x1b[I"


def module(name: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this directory."""
    return [sys.executable, "-m", f"{__package__}.{name}", *map(str, arguments)]


class Outside:
    """One run of a program, a context manager; `begun` is the time of its start."""

    def __init__(self, command: list[str], columns: int = 120, rows: int = 40) -> None:
        self.begun = time.perf_counter()
        self._child = pexpect.spawn(
            command[0],
            command[1:],
            dimensions=(rows, columns),
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        )
        self._fd = self._child.child_fd
        self._process = psutil.Process(self._child.pid)
        self._seen = b""
        self.written = 0

    def __enter__(self) -> "Outside":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.close(force=True)

    def send(self, text: str) -> float:
        """Type `text` and drop the output so far. Return the time of typing."""
        self._seen = b""
        begin = time.perf_counter()
        os.write(self._fd, text.encode())
        return begin

    def see(self, mark: str) -> float:
        """Wait until `mark` is written to the terminal; return the time."""
        self.find(re.escape(mark))
        return time.perf_counter()

    def find(self, pattern: str) -> re.Match[bytes]:
        """Wait until the output matches `pattern`; drop the output up to the end of the match."""
        wanted = re.compile(pattern.encode())
        end = time.perf_counter() + DEADLINE
        begin = 0
        while (found := wanted.search(self._seen, begin)) is None:
            assert time.perf_counter() < end, f"{pattern} was not written: {self._seen[-2000:]!r}"
            new = self._read(0.05)
            begin = max(0, len(self._seen) - new - _LONGEST_FOUND)
        self._seen = self._seen[found.end() :]
        return found

    def watch(self, seconds: float) -> None:
        """Read the output for `seconds`."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._read(left)

    def echo(self, keys: int) -> list[float]:
        """Type `keys` letters, a few a second; return the latency of each in ms."""
        chance = random.Random(1)
        latencies = []
        for letter in LETTERS[:keys]:
            begin = self.send(letter)
            latencies.append((self.see(letter) - begin) * 1e3)
            self.watch(0.1 + 0.15 * chance.random())
        return latencies

    @property
    def cpu_s(self) -> float:
        """CPU seconds used by the process of the program, without its children."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _read(self, seconds: float) -> int:
        """Wait up to `seconds` for output, and return the number of bytes read."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return 0
        try:
            data = os.read(self._fd, _READ)
        except OSError:
            raise AssertionError(f"the program ended: {self._seen[-2000:]!r}") from None
        self.written += len(data)
        self._seen = self._seen[-_KEPT:] + data
        return len(data)
