"""Which widget shows an entry, and what it costs."""

from koel_tui.conversation.entries import Entry
from koel_tui.ui import fold, message
from koel_tui.ui.fold import FoldView
from koel_tui.ui.message import MessageView

View = MessageView | FoldView

_FOLDED = ("thinking", "call")


def view_of(entry: Entry) -> View:
    """Return a new widget that shows `entry` and follows its growth."""
    return FoldView(entry) if entry.role in _FOLDED else MessageView(entry)


def cost_of(entry: Entry) -> int:
    """Estimate the widgets an entry takes, before any of them exists."""
    return fold.cost_of(entry) if entry.role in _FOLDED else message.cost_of(entry)
