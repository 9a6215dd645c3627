"""Helpers of the fold: event times, unusable events, open messages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ag_ui.core import BaseEvent

from koel_tui.protocol.errors import ProtocolError
from koel_tui.protocol.message_order import unused_id
from koel_tui.protocol.state import ChatState, Message, OpenMessage, RunPhase

JSON_ERRORS = (TypeError, ValueError, RecursionError)
"""The exceptions raised for values that JSON cannot represent."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def with_malformed_event(state: ChatState, event: BaseEvent, cause: Exception) -> ChatState:
    """Return `state` with only `error` and `phase` changed, because `event` cannot be used."""
    kind = event.type.value
    error = ProtocolError(
        f"The agent sent a {kind} event that cannot be used: {cause}. It was ignored.",
        event_type=kind,
        cause=cause,
    )
    failed = replace(state, error=error, phase=RunPhase.ERROR)
    return state if failed == state else failed


def event_time(event: BaseEvent) -> datetime | None:
    """Return the event's time, in milliseconds since 1970, None if it is absent or out of range."""
    if event.timestamp is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=event.timestamp)
    except OverflowError:
        return None


def open_assistant(
    state: ChatState, key: str, *, name: str | None = None, has_text: bool
) -> tuple[ChatState, OpenMessage]:
    """Return `state` with an assistant message opened, and that message.

    It takes over the reasoning before it that has no message yet.
    """
    others = tuple(opened for opened in state.open_messages if opened.key is not None)
    waiting = (opened for opened in state.open_messages if opened.key is None)
    opened = next(waiting, OpenMessage(None, Message("", "assistant")))
    head = replace(opened.head, id=unused_id(key, state.messages, others), name=name)
    opened = replace(opened, key=key, head=head, has_text=has_text)
    return replace(state, open_messages=(*others, opened)), opened


def with_open(state: ChatState, index: int, opened: OpenMessage) -> ChatState:
    """Return `state` with its open message at `index` replaced."""
    before, after = state.open_messages[:index], state.open_messages[index + 1 :]
    return replace(state, open_messages=(*before, opened, *after))


def without_open(state: ChatState, index: int, messages: tuple[Message, ...]) -> ChatState:
    """Return `state` with `messages` and without its open message at `index`."""
    left = state.open_messages[:index] + state.open_messages[index + 1 :]
    return replace(state, messages=messages, open_messages=left)
