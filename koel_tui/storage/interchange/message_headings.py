"""How messages are introduced where people read them."""

from koel_tui.protocol import LENGTH, Message

_SPEAKERS = {"user": "You", "assistant": "Model", "system": "System", "tool": "Tool"}


def speaker(message: Message) -> str:
    """Return who says a message, and whether it is incomplete."""
    return f"{_SPEAKERS.get(message.role, 'Other')}{_mark(message)}"


def time_of(message: Message) -> str:
    """Return when a message was said, in UTC; empty when that is not known."""
    return "" if message.timestamp is None else f"{message.timestamp:%Y-%m-%d %H:%M} UTC"


def _mark(message: Message) -> str:
    if message.interrupted:
        return " (stopped)"
    if message.finish_reason == LENGTH:
        return " (cut off)"
    return " (thinking only)" if message.is_thinking_only else ""
