"""Which messages are mounted: how far a window onto a thread reaches. Pure."""

from collections.abc import Sequence

from koel_tui.conversation.entries import Entry
from koel_tui.ui.transcript.entry_view import cost_of

TAIL = 20
"""Messages mounted while the end is followed, at most."""
TAIL_WIDGETS = 60
"""Widgets mounted then, about: each makes painting a new word dearer."""
STEP = 10
"""Messages loaded at once when the user reaches an end of what is shown."""
MAX_MESSAGES = 40
"""Messages mounted while the user reads further up, at most."""
MAX_WIDGETS = 150
"""Widgets mounted then, at most."""
FULL = MAX_WIDGETS - 20
"""Widgets by estimate with which it is full: estimates are short of what is mounted by a few."""


def reach(
    entries: Sequence[Entry],
    position: int,
    direction: int,
    messages: int = STEP,
    widgets: int = FULL,
    least: int = 1,
) -> int:
    """Return how far from `position` a window reaches, up (-1) or down (1).

    It takes in at most so many messages and widgets, but always the least number of messages.
    """
    taken = cost = 0
    while taken < messages:
        index = position - 1 if direction < 0 else position
        if not 0 <= index < len(entries):
            break
        cost += cost_of(entries[index])
        if taken >= least and cost > widgets:
            break
        position += direction
        taken += 1
    return position


def around(entries: Sequence[Entry], index: int) -> tuple[int, int]:
    """Return where a window round a message begins and ends; it holds that one in any case."""
    end = reach(entries, index, 1, TAIL, FULL * 2 // 3)
    left = FULL - sum(cost_of(entry) for entry in entries[index:end])
    return reach(entries, index, -1, MAX_MESSAGES - TAIL, left, least=0), end


def place_of(entries: Sequence[Entry], wanted: str) -> int | None:
    """Return where the entry with this id is, or the first block of the message with this id."""
    for index, entry in enumerate(entries):
        if entry.id == wanted or entry.id.startswith(f"{wanted}#"):
            return index
    return None


def tail_start(entries: Sequence[Entry]) -> int:
    """Return where the newest entries begin that a thread is opened with."""
    return reach(entries, len(entries), -1, TAIL, TAIL_WIDGETS)
