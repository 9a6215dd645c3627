"""The file of the open tabs: one for each window that is open at the same time."""

import fcntl
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from koel_tui.system.regular_files import TooLargeError, read_plain
from koel_tui.workspace.open_tabs import OpenTabs, decode

MAX_BYTES = 256 * 1024**2
"""What a list of tabs may have at most: their drafts may hold large pastes."""
_DAMAGED = ".damaged"


class OpenTabsFile:
    """Finds the tabs that windows before this one left, and keeps those of this one.

    Each window holds the lock of one numbered file. What lies in files that nobody holds is taken
    over: the tabs of the last run, and those of a second window that is gone. Calls raise OSError.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path: Path | None = None
        self._locks: dict[Path, int] = {}
        self.problems: list[str] = []
        """What could not be read, in sentences for the user."""

    def open(self) -> OpenTabs:
        """Take a file nobody holds, and return the tabs that wait to be opened again."""
        for path in self._candidates():
            if self._lock(path):
                self._path = path
                break
        left = {path: self._read(path) for path in self._abandoned()}
        tabs = OpenTabs()
        for found in left.values():
            tabs = tabs.joined(found)
        others = [path for path in left if path != self._path]
        if others:
            self.write(tabs)
        for path in others:
            path.unlink(missing_ok=True)
            self._unlock(path)
        return tabs

    def write(self, tabs: OpenTabs) -> None:
        """Keep these tabs for the next window."""
        from koel_tui.system.atomic_write import write_atomically

        if self._path is not None:
            write_atomically(self._path, tabs.encode())

    def close(self) -> None:
        """Let another window have the file."""
        for path in list(self._locks):
            self._unlock(path)
        self._path = None

    def _candidates(self) -> Iterator[Path]:
        return (self._directory / f"tabs-{number}.json" for number in count(1))

    def _abandoned(self) -> list[Path]:
        """Return the files with tabs that are held by this window, taking those nobody holds."""
        there = sorted(self._directory.glob("tabs-*.json"))
        ours = [path for path in there if path in self._locks or self._lock(path)]
        return sorted(ours, key=lambda path: path != self._path)

    def _read(self, path: Path) -> OpenTabs:
        try:
            return decode(read_plain(path, MAX_BYTES))
        except (ValueError, TooLargeError) as error:
            aside = _free(path.with_name(path.name + _DAMAGED))
            path.rename(aside)
            self.problems.append(
                f"The list of open tabs is damaged ({_reason(error)}); it is kept as {aside}. "
                "No thread is lost: all are in the list of saved threads."
            )
            return OpenTabs()

    def _lock(self, path: Path) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path.with_suffix(".lock"), flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            pass  # the file system has no locks: then two windows share a file, the last one wins
        self._locks[path] = descriptor
        return True

    def _unlock(self, path: Path) -> None:
        os.close(self._locks.pop(path))


def _reason(error: ValueError | OSError) -> str:
    return str(getattr(error, "strerror", None) or error)


def _free(path: Path) -> Path:
    """Return this path, or one with a number behind it that nothing has yet."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in count(2))
    return path if not path.exists() else next(each for each in numbered if not each.exists())
