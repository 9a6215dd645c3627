"""The reason why an answer is incomplete, as text. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from koel_tui.conversation.metrics import parse_metrics

if TYPE_CHECKING:
    from koel_tui.protocol import Message

STOPPED = "The answer was stopped."
THOUGHT_ONLY = "The model only thought and wrote no answer."


def incomplete_reason(messages: "Sequence[Message]") -> str:
    """Return why the last answer of a thread is incomplete; empty if it is complete."""
    last = messages[-1] if messages else None
    return describe_incomplete(last) if last is not None and last.is_continuable else ""


def describe_incomplete(message: "Message") -> str:
    """Return the reason why an incomplete answer is incomplete."""
    from koel_tui.protocol import LENGTH

    if message.interrupted:
        return STOPPED
    if message.finish_reason != LENGTH:
        return THOUGHT_ONLY
    metrics = parse_metrics(message.usage)
    if metrics is None or not metrics.output_tokens:
        cut = "cut at its limit"
    elif fills_context(message):
        cut = f"cut by the full context of {metrics.context_tokens:,} tokens"
    else:
        plural = "" if metrics.output_tokens == 1 else "s"
        cut = f"cut at the limit of {metrics.output_tokens:,} token{plural}"
    if message.is_thinking_only:
        return f"The model only thought, and was {cut}."
    return f"The answer was {cut}."


def fills_context(message: "Message") -> bool:
    """Return whether the answer filled the context of the model."""
    metrics = parse_metrics(message.usage)
    return metrics is not None and 0 < metrics.context_tokens <= metrics.used_tokens


def is_thinking_cut(message: "Message") -> bool:
    """Return whether the limit of an answer ended its thinking, before any text."""
    from koel_tui.protocol import LENGTH

    is_cut = message.finish_reason == LENGTH and not fills_context(message)
    return is_cut and message.is_thinking_only


def end_note(message: "Message") -> str:
    """Return the reason as a note of one or two words; empty if the text shows it."""
    from koel_tui.protocol import LENGTH

    if message.interrupted:
        return "stopped"
    return "cut off" if message.role == "assistant" and message.finish_reason == LENGTH else ""
