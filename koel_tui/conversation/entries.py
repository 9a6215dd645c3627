"""Entries of a transcript and the notices below them, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Branching:
    """Where a thread goes on in several ways, and which of them is shown, counted from 1.

    `after` is the id of the message before, None at the start of the thread.
    """

    after: str | None
    shown: int
    count: int

    @property
    def mark(self) -> str:
        """The same in a few cells."""
        return f"‹{self.shown}/{self.count}›"


@dataclass(frozen=True, slots=True)
class Entry:
    """A message or a block of one; `writing` while more of it may come.

    `note` is a word about how a message ended, or the headline of a block of thinking or of a call,
    whose text is empty while it is folded. `branching` is there when it begins a branch.
    """

    id: str
    role: str
    text: str
    writing: bool = False
    note: str = ""
    branching: Branching | None = None

    @property
    def remark(self) -> str:
        """Which branch begins here, and the note; empty when neither says anything."""
        mark = self.branching.mark if self.branching is not None else ""
        return " ".join(filter(None, (mark, self.note)))


@dataclass(frozen=True, slots=True)
class Row:
    """A line below the messages: an error, what a run waits for, what is queued.

    A click does `action`, one of the window's, where there is one. `hints` are keys by their ids,
    each with what it does, told behind the text.
    """

    kind: str
    text: str
    action: str = ""
    hints: tuple[tuple[str, str], ...] = ()


def newest(entries: Sequence[Entry]) -> str:
    """Return what is different when a message, or text of the last one, is new.

    What folds is left out: unfolding it brings nothing new.
    """
    for entry in reversed(entries):
        if entry.role in ("user", "assistant"):
            return f"{entry.id} {len(entry.text)}"
    return ""
