"""The choice of widget for an entry, and its estimated cost."""

from koel_tui.conversation.entries import Entry
from koel_tui.ui.transcript import folded_view, message_view
from koel_tui.ui.transcript.folded_view import FoldView
from koel_tui.ui.transcript.message_view import MessageView

View = MessageView | FoldView

_FOLDED = ("thinking", "call")


def view_of(entry: Entry) -> View:
    """Return a new widget that shows `entry` and follows its growth."""
    return FoldView(entry) if entry.role in _FOLDED else MessageView(entry)


def cost_of(entry: Entry) -> int:
    """Estimate the number of widgets of an entry before any is created."""
    return folded_view.cost_of(entry) if entry.role in _FOLDED else message_view.cost_of(entry)
