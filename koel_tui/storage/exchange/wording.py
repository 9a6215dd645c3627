"""How messages are introduced where people read them."""

from koel_tui.protocol import Message

_SPEAKERS = {"user": "You", "assistant": "Model", "system": "System", "tool": "Tool"}


def speaker(message: Message) -> str:
    """Return who says a message, and whether they were stopped."""
    mark = " (stopped)" if message.interrupted else ""
    return f"{_SPEAKERS.get(message.role, 'Other')}{mark}"


def time_of(message: Message) -> str:
    """Return when a message was said, in UTC; empty when that is not known."""
    return "" if message.timestamp is None else f"{message.timestamp:%Y-%m-%d %H:%M} UTC"
