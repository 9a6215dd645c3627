"""Faults in the native calls of a running runner: tests set them, and the runner reports them.

Both sides share a folder with three files: `fault` describes the call that raises next, `hits` has
a line for each call that raised, and `called` lists the functions called since the last fault.
"""

import itertools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

NOTHING = "nothing"
"""A name that no function has: a fault with it never raises and only records the calls."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A native call that raised: its function, its request and the sessions of the request."""

    function: str
    work: str
    sessions: tuple[int, ...]


class Faults:
    """The test's side: at most one fault is set, and it raises once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._serial = itertools.count()

    def arm(self, function: str, at: int = 0, error: str = "RuntimeError") -> None:
        """Have call number `at` of a function of llama_cpp raise; the next call has number 0."""
        (self._folder / "called").unlink(missing_ok=True)
        text = json.dumps([next(self._serial), function, at, error])
        temporary = self._folder / "fault.new"
        temporary.write_text(text)
        temporary.replace(self._folder / "fault")

    def disarm(self) -> None:
        """Remove the fault, so that no call raises."""
        (self._folder / "fault").unlink(missing_ok=True)

    def hits(self) -> list[Hit]:
        """Return the calls that have raised, in order."""
        path = self._folder / "hits"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [Hit(**json.loads(line)) for line in lines]
        return [Hit(hit.function, hit.work, tuple(hit.sessions)) for hit in found]

    def called(self) -> set[str]:
        """Return the functions called since the fault was set."""
        return set((self._folder / "called").read_text().split())


class Armed:
    """The runner's side: decides whether the current call raises."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: tuple[int, int] | None = None
        self._function, self._left, self._error = "", 0, ""
        self._seen: set[str] = set()

    def due(self, function: str) -> str | None:
        """Record a call; return the name of the error to raise, or None."""
        path = self._folder / "fault"
        try:
            status = os.stat(path)  # noqa: PTH116 - it is asked at each native call
            if self._read != (status.st_ino, status.st_mtime_ns):
                _, self._function, self._left, self._error = json.loads(path.read_text())
                self._read = (status.st_ino, status.st_mtime_ns)
                self._seen.clear()
        except FileNotFoundError:
            return None
        if function not in self._seen:
            self._seen.add(function)
            self._append("called", function)
        if function != self._function:
            return None
        self._left -= 1
        return self._error if self._left == -1 else None

    def report(self, hit: Hit) -> None:
        """Report to the test that a call raises now."""
        self._append("hits", json.dumps(asdict(hit)))

    def _append(self, name: str, line: str) -> None:
        with (self._folder / name).open("a") as file:
            file.write(line + "\n")
