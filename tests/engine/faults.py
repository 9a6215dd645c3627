"""Faults in the native calls of a running runner: a test sets them, the runner reports them.

Both sides share a folder. `fault` describes the call that raises next, `hits` has a line for each
call that raised, `called` the names of the functions called since `fault` was written.
"""

import itertools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

NOTHING = "nothing"
"""A function of this name is never called: the fault raises nothing and only records."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A native call that raised: the function, and the work and the sessions it was made for."""

    function: str
    work: str
    sessions: tuple[int, ...]


class Faults:
    """The test's side: at most one fault is set, and it raises once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._serial = itertools.count()

    def arm(self, function: str, at: int = 0, error: str = "RuntimeError") -> None:
        """Have call number `at` of a function of llama_cpp raise, counted from now and from 0."""
        (self._folder / "called").unlink(missing_ok=True)
        text = json.dumps([next(self._serial), function, at, error])
        temporary = self._folder / "fault.new"
        temporary.write_text(text)
        temporary.replace(self._folder / "fault")

    def disarm(self) -> None:
        """Have no call raise."""
        (self._folder / "fault").unlink(missing_ok=True)

    def hits(self) -> list[Hit]:
        """Return the calls that raised so far, the first one first."""
        path = self._folder / "hits"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [Hit(**json.loads(line)) for line in lines]
        return [Hit(hit.function, hit.work, tuple(hit.sessions)) for hit in found]

    def called(self) -> set[str]:
        """Return the functions called since the fault was set."""
        return set((self._folder / "called").read_text().split())


class Armed:
    """The runner's side: knows whether the call that is made now is to raise."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: tuple[int, int] | None = None
        self._function, self._left, self._error = "", 0, ""
        self._seen: set[str] = set()

    def due(self, function: str) -> str | None:
        """Note a call; return the name of the error to raise, None for none."""
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
        """Tell the test of a call that raises now."""
        self._append("hits", json.dumps(asdict(hit)))

    def _append(self, name: str, line: str) -> None:
        with (self._folder / name).open("a") as file:
            file.write(line + "\n")
