"""Saves that would have overwritten what somebody else wrote, and where they went instead."""

from dataclasses import dataclass, replace
from pathlib import Path

from koel_tui.storage.files.file_names import beside
from koel_tui.storage.thread_record import Header


@dataclass(frozen=True, slots=True)
class Conflict:
    """A thread that was changed elsewhere; `path` is the file that holds what was saved here."""

    thread_id: str
    path: Path


class Conflicts:
    """The threads of one storage that went apart from their files."""

    def __init__(self) -> None:
        self._found: dict[Path, Conflict] = {}
        self._apart: dict[Path, tuple[Path, Header]] = {}

    @property
    def found(self) -> tuple[Conflict, ...]:
        """The files written aside so far, each once."""
        return tuple(self._found.values())

    def place(self, path: Path, base: Header) -> tuple[Path, Header]:
        """Return where a save goes that must not replace `path`, and the header before it.

        The first such save takes a free name after the generation it would have been, those after
        it replace the one before.
        """
        return self._apart[path] if path in self._apart else self.free_place(path, base)

    def free_place(self, path: Path, base: Header) -> tuple[Path, Header]:
        """Return a free name for what must not replace `path`, and the header before it."""
        gen = base.gen + 1
        while (aside := beside(path, f"conflict-{gen}")).exists():
            gen += 1
        return aside, replace(base, gen=gen - 1)

    def note(self, path: Path, aside: Path, header: Header) -> None:
        """Remember that the thread of `path` was written to `aside`."""
        self._apart[path] = (aside, header)
        self.report(header.id, aside)

    def report(self, thread_id: str, aside: Path) -> None:
        """Remember that what was saved of a thread is in the file `aside`."""
        self._found[aside] = Conflict(thread_id, aside)

    def settle(self, path: Path) -> None:
        """Let the thread go on from its own file again; what was written aside stays."""
        self._apart.pop(path, None)
