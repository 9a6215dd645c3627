"""Headings of messages in exports for people."""

from koel_tui.protocol import LENGTH, Message

_SPEAKERS = {"user": "You", "assistant": "Model", "system": "System", "tool": "Tool"}


def author_label(message: Message) -> str:
    """Return the name of a message's author, with a mark if the message is incomplete."""
    return f"{_SPEAKERS.get(message.role, 'Other')}{_mark(message)}"


def format_time(message: Message) -> str:
    """Return the time of a message in UTC, empty if it is unknown."""
    return "" if message.timestamp is None else f"{message.timestamp:%Y-%m-%d %H:%M} UTC"


def _mark(message: Message) -> str:
    if message.interrupted:
        return " (stopped)"
    if message.finish_reason == LENGTH:
        return " (cut off)"
    return " (thinking only)" if message.is_thinking_only else ""
