"""Conflict files: saves that would have overwritten changes of another process."""

from dataclasses import dataclass, replace
from pathlib import Path

from koel_tui.storage.files.file_names import beside
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
        self._apart: dict[Path, tuple[Path, Header]] = {}

    @property
    def found(self) -> tuple[Conflict, ...]:
        """The conflict files written so far, each once."""
        return tuple(self._found.values())

    def place(self, path: Path, base: Header) -> tuple[Path, Header]:
        """Return the path for a save that must not replace `path`, and the previous header.

        The first such save gets a free name made from its generation; later saves replace that
        file.
        """
        return self._apart[path] if path in self._apart else self.free_place(path, base)

    def free_place(self, path: Path, base: Header) -> tuple[Path, Header]:
        """Return a free path for a save that must not replace `path`, and the previous header."""
        gen = base.gen + 1
        while (aside := beside(path, f"conflict-{gen}")).exists():
            gen += 1
        return aside, replace(base, gen=gen - 1)

    def note(self, path: Path, aside: Path, header: Header) -> None:
        """Record that the thread of `path` was saved to the conflict file `aside`."""
        self._apart[path] = (aside, header)
        self.report(header.id, aside)

    def report(self, thread_id: str, aside: Path) -> None:
        """Add the conflict file `aside` of a thread to `found`."""
        self._found[aside] = Conflict(thread_id, aside)

    def settle(self, path: Path) -> None:
        """Direct further saves of the thread to its own file again; keep its conflict file."""
        self._apart.pop(path, None)
