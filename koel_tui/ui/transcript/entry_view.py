"""The choice of widget for an entry, and its estimated cost."""

from koel_tui.conversation.entries import Entry
from koel_tui.ui.transcript import folded_view, message_view
from koel_tui.ui.transcript.folded_view import FoldedView
from koel_tui.ui.transcript.message_view import MessageView

View = MessageView | FoldedView

_FOLDABLE_ROLES = ("thinking", "call")


def create_view(entry: Entry) -> View:
    """Return a new widget that shows `entry` and follows its growth."""
    return FoldedView(entry) if entry.role in _FOLDABLE_ROLES else MessageView(entry)


def estimate_cost(entry: Entry) -> int:
    """Estimate the number of widgets of an entry before any is created."""
    return (
        folded_view.estimate_cost(entry)
        if entry.role in _FOLDABLE_ROLES
        else message_view.estimate_cost(entry)
    )


def is_visible(view: View, lines: range) -> bool:
    """Return whether a view is within these lines of the transcript, or has no place yet."""
    region = view.virtual_region
    return not region.height or (region.bottom > lines.start and region.y < lines.stop)
