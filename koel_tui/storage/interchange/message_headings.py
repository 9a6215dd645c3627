"""Headings of messages in exports for people."""

import re

from koel_tui.protocol import LENGTH, Message

_SPEAKERS = {"user": "You", "assistant": "Model", "system": "System", "tool": "Tool"}
_OTHER = "Other"
_HEADING = re.compile(
    rf"\W*(?:{'|'.join((*_SPEAKERS.values(), _OTHER))})\W*"
    r"(?:(?:stopped|cut off|thinking only)\W*)?(?:\d{4}-\d\d-\d\d\b.*)?",
    re.DOTALL,
)


def author_label(message: Message) -> str:
    """Return the name of a message's author, with a mark if the message is incomplete."""
    return f"{_SPEAKERS.get(message.role, _OTHER)}{_mark(message)}"


def resembles_heading(text: str) -> bool:
    """Return whether a heading within a message could be confused with that of a message."""
    return _HEADING.fullmatch(text) is not None


def format_time(message: Message) -> str:
    """Return the time of a message in UTC, empty if it is unknown."""
    return "" if message.timestamp is None else f"{message.timestamp:%Y-%m-%d %H:%M} UTC"


def _mark(message: Message) -> str:
    if message.interrupted:
        return " (stopped)"
    if message.finish_reason == LENGTH:
        return " (cut off)"
    return " (thinking only)" if message.is_thinking_only else ""
