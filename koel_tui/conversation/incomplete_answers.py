"""The reason why an answer is incomplete, as text. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from koel_tui.conversation.turn_metrics import figures_of

if TYPE_CHECKING:
    from koel_tui.protocol import Message

STOPPED = "The answer was stopped."
THOUGHT_ONLY = "The model only thought and wrote no answer."


def incomplete(messages: "Sequence[Message]") -> str:
    """Return why the last answer of a thread is incomplete; empty if it is complete."""
    last = messages[-1] if messages else None
    return why_incomplete(last) if last is not None and last.is_continuable else ""


def why_incomplete(message: "Message") -> str:
    """Return the reason why an incomplete answer is incomplete."""
    from koel_tui.protocol import LENGTH

    if message.interrupted:
        return STOPPED
    if message.finish_reason != LENGTH:
        return THOUGHT_ONLY
    figures = figures_of(message.usage)
    if figures is None or not figures.written:
        cut = "cut at its limit"
    elif fills_window(message):
        cut = f"cut by the full window of {figures.window:,} tokens"
    else:
        cut = f"cut at the limit of {figures.written:,} token{'s' if figures.written != 1 else ''}"
    if message.is_thinking_only:
        return f"The model only thought, and was {cut}."
    return f"The answer was {cut}."


def fills_window(message: "Message") -> bool:
    """Return whether the answer filled the context of the model."""
    figures = figures_of(message.usage)
    return figures is not None and 0 < figures.window <= figures.used


def mark(message: "Message") -> str:
    """Return the reason as a note of one or two words; empty if the text shows it."""
    from koel_tui.protocol import LENGTH

    if message.interrupted:
        return "stopped"
    return "cut off" if message.role == "assistant" and message.finish_reason == LENGTH else ""
