"""The end of a run, the state after loading, and the truncation of a thread."""

from dataclasses import replace
from datetime import datetime

from koel_tui.protocol.message_order import commit, is_committed
from koel_tui.protocol.state import ChatState, Message, OpenMessage, RunPhase


def end_run(state: ChatState, phase: RunPhase, at: datetime | None = None) -> ChatState:
    """Return `state` with its run ended: `phase` is set, partial messages are kept.

    An open message becomes a message marked interrupted, with the timestamp `at` unless it has one;
    an empty one is dropped. Incomplete calls are dropped. In any phase except idle no call stays
    pending, because no result will arrive.
    """
    ended = _close_messages(state, phase, at)
    pending = tuple(
        call
        for call in ended.pending_tool_calls
        if phase is RunPhase.IDLE and is_committed(ended, call)
    )
    return (
        ended if pending == ended.pending_tool_calls else replace(ended, pending_tool_calls=pending)
    )


def settle(state: ChatState, at: datetime | None = None) -> ChatState:
    """Return a loaded `state` ready to be shown: without a run, with partial messages kept."""
    return _close_messages(state, RunPhase.IDLE if state.phase.is_running else state.phase, at)


def truncate(state: ChatState, count: int) -> ChatState:
    """Return `state` with only its first `count` messages and with nothing pending.

    The encrypted reasoning of dropped messages is dropped too, because an agent could not use it.
    """
    kept, dropped = state.messages[:count], state.messages[count:]
    dropped_ids = {
        name for message in (*dropped, *state.pending_messages) for name in echo_ids(message)
    }
    dropped_ids -= {name for message in kept for name in echo_ids(message)}
    echo = {key: value for key, value in state.reasoning_echo.items() if key not in dropped_ids}
    truncated = replace(
        state, messages=kept, open_messages=(), pending_tool_calls=(), reasoning_echo=echo
    )
    return state if truncated == state else truncated


def _close_messages(state: ChatState, phase: RunPhase, at: datetime | None) -> ChatState:
    if not state.open_messages:
        return state if state.phase == phase else replace(state, phase=phase)
    messages = state.messages
    for opened in state.open_messages:
        message = opened.message
        if not message.is_empty:
            closed = replace(
                message,
                interrupted=_is_interrupted(opened, phase),
                timestamp=message.timestamp or at,
            )
            messages = commit(messages, closed)
    return replace(state, messages=messages, open_messages=(), phase=phase)


def _is_interrupted(opened: OpenMessage, phase: RunPhase) -> bool:
    """Return whether a message ended before it was complete; reasoning alone may be complete."""
    if opened.has_text or phase is not RunPhase.IDLE:
        return True
    return any(thought.is_open for thought in opened.thoughts)


def echo_ids(message: Message) -> tuple[str, ...]:
    """Return the ids that encrypted reasoning of a message may have."""
    return (message.id, *message.reasoning_ids, *(call.id for call in message.tool_calls))
