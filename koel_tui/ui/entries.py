"""What a transcript shows, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A message; `writing` while more of it may come, `note` a word about how it ended."""

    id: str
    role: str
    text: str
    writing: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line below the messages: an error, what a run waits for, what is queued."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a user was reading: which messages were mounted and how far down."""

    start: int
    end: int
    scroll_y: float


class Source(Protocol):
    """Where a transcript gets what it shows."""

    def entries(self) -> Sequence[Entry]:
        """Return the messages, oldest first."""
        ...

    def rows(self) -> Sequence[Row]:
        """Return what stands below the messages."""
        ...
