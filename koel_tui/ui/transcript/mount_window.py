"""The range of mounted messages. Pure."""

from collections.abc import Sequence

from koel_tui.conversation.entries import Entry
from koel_tui.ui.transcript.entry_view import estimate_cost

TAIL_MESSAGES = 20
"""Maximum number of mounted messages while the view follows the end."""
TAIL_WIDGETS = 60
"""Approximate limit of widgets then; each one makes painting a token more expensive."""
PAGE_MESSAGES = 10
"""Messages loaded at a time when the user reaches an end of the mounted range."""
MAX_MESSAGES = 40
"""Maximum number of mounted messages while the user reads earlier ones."""
MAX_WIDGETS = 150
"""Maximum number of mounted widgets then."""
WIDGET_BUDGET = MAX_WIDGETS - 20
"""Widget budget in estimated widgets, lower because estimates are slightly too small."""


def extend_range(
    entries: Sequence[Entry],
    position: int,
    direction: int,
    messages: int = PAGE_MESSAGES,
    widgets: int = WIDGET_BUDGET,
    least: int = 1,
) -> int:
    """Return how far a range extends from `position`, up (-1) or down (1).

    It contains at most `messages` messages and `widgets` widgets, but at least `least` messages.
    """
    taken = cost = 0
    while taken < messages:
        index = position - 1 if direction < 0 else position
        if not 0 <= index < len(entries):
            break
        cost += estimate_cost(entries[index])
        if taken >= least and cost > widgets:
            break
        position += direction
        taken += 1
    return position


def range_around(entries: Sequence[Entry], index: int) -> tuple[int, int]:
    """Return the start and end of a range around a message, which it always contains."""
    end = extend_range(entries, index, 1, TAIL_MESSAGES, WIDGET_BUDGET * 2 // 3)
    left = WIDGET_BUDGET - sum(estimate_cost(entry) for entry in entries[index:end])
    return extend_range(entries, index, -1, MAX_MESSAGES - TAIL_MESSAGES, left, least=0), end


def index_of(entries: Sequence[Entry], wanted: str) -> int | None:
    """Return the index of the entry with this id, or of the first block of the message with it."""
    for index, entry in enumerate(entries):
        if entry.id == wanted or entry.id.startswith(f"{wanted}#"):
            return index
    return None


def tail_start(entries: Sequence[Entry]) -> int:
    """Return the index of the first entry to mount when a thread is opened at its end."""
    return extend_range(entries, len(entries), -1, TAIL_MESSAGES, TAIL_WIDGETS)
