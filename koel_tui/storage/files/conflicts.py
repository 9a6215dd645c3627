"""Conflict files: saves that would have overwritten changes of another process."""

from dataclasses import dataclass, replace
from pathlib import Path

from koel_tui.storage.files.file_names import tagged_path
from koel_tui.storage.thread_record import Header


@dataclass(frozen=True, slots=True)
class Conflict:
    """A thread that another process changed; `path` is the file with the state saved here."""

    thread_id: str
    path: Path


class Conflicts:
    """The threads of a storage whose files another process changed."""

    def __init__(self) -> None:
        self._found: dict[Path, Conflict] = {}
        self._conflict_paths: dict[Path, tuple[Path, Header]] = {}

    @property
    def found(self) -> tuple[Conflict, ...]:
        """The conflict files written so far, each once."""
        return tuple(self._found.values())

    def save_path(self, path: Path, base: Header) -> tuple[Path, Header]:
        """Return the conflict file for a save that must not replace `path`, and its last header.

        All such saves replace one file, until `resolve`. The first one gets a free path, with
        `base` as the last header.
        """
        recorded = self._conflict_paths.get(path)
        return self.free_path(path, base) if recorded is None else recorded

    def free_path(self, path: Path, base: Header) -> tuple[Path, Header]:
        """Return the path of a new conflict file, and `base` with the generation before it."""
        gen = base.gen + 1
        while (conflict_path := tagged_path(path, f"conflict-{gen}")).exists():
            gen += 1
        return conflict_path, replace(base, gen=gen - 1)

    def record_conflict(self, path: Path, conflict_path: Path, header: Header) -> None:
        """Record that `conflict_path` has the state that must not replace `path`."""
        self._conflict_paths[path] = (conflict_path, header)
        self.add(header.id, conflict_path)

    def add(self, thread_id: str, conflict_path: Path) -> None:
        """Add the conflict file `conflict_path` of a thread to `found`."""
        self._found[conflict_path] = Conflict(thread_id, conflict_path)

    def resolve(self, path: Path) -> None:
        """Direct further saves of the thread to its own file again; keep its conflict file."""
        self._conflict_paths.pop(path, None)
