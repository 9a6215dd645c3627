"""Scroll positions of a transcript, and the source of its content."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from koel_tui.conversation.entries import Entry
from koel_tui.conversation.notices import Notice


@dataclass(frozen=True, slots=True)
class ScrollPosition:
    """The scroll position of a thread: mounted range, scroll offset, newest entry seen."""

    start: int
    end: int
    scroll_y: float
    seen: str = ""


@dataclass(frozen=True, slots=True)
class ScrollTarget:
    """The entry to scroll to, for instance a search result."""

    entry_id: str


class TranscriptSource(Protocol):
    """The source of the entries and notices that a transcript shows."""

    def entries(self) -> Sequence[Entry]:
        """Return the entries, oldest first."""
        ...

    def rows(self) -> Sequence[Notice]:
        """Return the notices below the entries."""
        ...
