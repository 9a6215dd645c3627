"""What a run leaves behind: when it ends, when it is loaded again, when turns are dropped."""

from dataclasses import replace
from datetime import datetime

from koel_tui.protocol.message_order import commit, is_committed
from koel_tui.protocol.state import ChatState, Message, OpenMessage, RunPhase


def end_run(state: ChatState, phase: RunPhase, at: datetime | None = None) -> ChatState:
    """Return `state` with its run over: `phase` set and half-written messages kept.

    What was still open becomes a message marked interrupted and stamped `at` unless it has a time
    of its own; an empty one is dropped. Calls that were not complete are dropped, and in any phase
    but idle no call is pending any more, because nobody is going to answer it.
    """
    ended = _closed(state, phase, at)
    pending = tuple(
        call
        for call in ended.pending_tool_calls
        if phase is RunPhase.IDLE and is_committed(ended, call)
    )
    return (
        ended if pending == ended.pending_tool_calls else replace(ended, pending_tool_calls=pending)
    )


def settle(state: ChatState, at: datetime | None = None) -> ChatState:
    """Return a loaded `state` as it can be shown: nothing runs, half-written messages are kept."""
    return _closed(state, RunPhase.IDLE if state.phase.is_running else state.phase, at)


def truncate(state: ChatState, count: int) -> ChatState:
    """Return `state` with its first `count` messages only and with nothing pending.

    The encrypted reasoning of what is dropped goes too: an agent could not make sense of it.
    """
    kept, dropped = state.messages[:count], state.messages[count:]
    gone = {name for message in (*dropped, *state.pending_messages) for name in names_of(message)}
    gone -= {name for message in kept for name in names_of(message)}
    echo = {key: value for key, value in state.reasoning_echo.items() if key not in gone}
    truncated = replace(
        state, messages=kept, open_messages=(), pending_tool_calls=(), reasoning_echo=echo
    )
    return state if truncated == state else truncated


def _closed(state: ChatState, phase: RunPhase, at: datetime | None) -> ChatState:
    if not state.open_messages:
        return state if state.phase == phase else replace(state, phase=phase)
    messages = state.messages
    for opened in state.open_messages:
        message = opened.message
        if not message.is_empty:
            kept = replace(
                message,
                interrupted=_is_interrupted(opened, phase),
                timestamp=message.timestamp or at,
            )
            messages = commit(messages, kept)
    return replace(state, messages=messages, open_messages=(), phase=phase)


def _is_interrupted(opened: OpenMessage, phase: RunPhase) -> bool:
    """Tell whether a message ended before it was complete; reasoning alone may be complete."""
    if opened.has_text or phase is not RunPhase.IDLE:
        return True
    return any(thought.is_open for thought in opened.thoughts)


def names_of(message: Message) -> tuple[str, ...]:
    """Return the ids by which encrypted reasoning may belong to a message."""
    return (message.id, *message.reasoning_ids, *(call.id for call in message.tool_calls))
