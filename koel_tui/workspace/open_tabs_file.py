"""The file of the open tabs; each running app instance has its own."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from koel_tui.system.file_lock import FileLock
from koel_tui.system.regular_files import TooLargeError, read_regular
from koel_tui.workspace.open_tabs import OpenTabs, decode

MAX_BYTES = 256 * 1024**2
"""The size limit of a list of tabs, whose drafts may contain large pastes."""
_DAMAGED = ".damaged"


class OpenTabsFile:
    """A store that restores the tabs of earlier app instances and persists those of this one.

    Each instance locks one numbered file. The tabs in unlocked files are taken over: those of
    the last run, and those of a second instance that has ended. All calls may raise `OSError`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path: Path | None = None
        """The file of this instance; None before `open` and after `close`."""
        self._locks: dict[Path, FileLock] = {}
        self.problems: list[str] = []
        """Read errors, as sentences for the user."""

    def open(self) -> OpenTabs:
        """Lock a free file, and return the tabs to restore."""
        for path in self._candidates():
            if self._lock(path):
                self._path = path
                break
        abandoned = {path: self._read(path) for path in self._lock_abandoned()}
        tabs = OpenTabs()
        for found in abandoned.values():
            tabs = tabs.merge(found)
        others = [path for path in abandoned if path != self._path]
        if others:
            self.write(tabs)
        for path in others:
            path.unlink(missing_ok=True)
            self._unlock(path)
        return tabs

    def write(self, tabs: OpenTabs) -> None:
        """Persist these tabs for the next run."""
        from koel_tui.system.atomic_write import write_atomically

        if self._path is not None:
            write_atomically(self._path, tabs.encode())

    def close(self) -> None:
        """Release the file for another app instance."""
        for path in list(self._locks):
            self._unlock(path)
        self._path = None

    def _candidates(self) -> Iterator[Path]:
        return (self.directory / f"tabs-{number}.json" for number in count(1))

    def _lock_abandoned(self) -> list[Path]:
        """Lock all free files with tabs; return those locked by this app, its own first."""
        paths = sorted(self.directory.glob("tabs-*.json"))
        ours = [path for path in paths if path in self._locks or self._lock(path)]
        return sorted(ours, key=lambda path: path != self._path)

    def _read(self, path: Path) -> OpenTabs:
        try:
            return decode(read_regular(path, MAX_BYTES))
        except (ValueError, TooLargeError) as error:
            backup = _unused_path(path.with_name(path.name + _DAMAGED))
            path.rename(backup)
            self.problems.append(
                f"The list of open tabs is damaged ({_format_reason(error)}); it is kept as "
                f"{backup}. No thread is lost: all are in the list of saved threads."
            )
            return OpenTabs()

    def _lock(self, path: Path) -> bool:
        lock = FileLock(path.with_suffix(".lock"))
        if lock.acquire().held_elsewhere:
            return False
        # On a file system without locks two apps may share a file, and the last write wins.
        self._locks[path] = lock
        return True

    def _unlock(self, path: Path) -> None:
        self._locks.pop(path).release()


def _format_reason(error: ValueError | OSError) -> str:
    return str(getattr(error, "strerror", None) or error)


def _unused_path(path: Path) -> Path:
    """Return this path, or if it exists, an unused one with a number appended."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in count(2))
    return path if not path.exists() else next(each for each in numbered if not each.exists())
