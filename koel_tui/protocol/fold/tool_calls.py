"""The fold of tool calls: pending, committed to their message, answered after it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ag_ui.core import ToolCallArgsEvent, ToolCallEndEvent, ToolCallResultEvent, ToolCallStartEvent

from koel_tui.protocol.codec.json_values import plain
from koel_tui.protocol.fold.helpers import (
    JSON_ERRORS,
    event_time,
    open_assistant,
    with_malformed_event,
    with_open,
    without_open,
)
from koel_tui.protocol.message_order import (
    commit,
    commit_index,
    is_committed,
    makes_call,
    unused_id,
)
from koel_tui.protocol.messages import parse_content
from koel_tui.protocol.state import ChatState, Message, ToolCall


def start_call(event: ToolCallStartEvent, state: ChatState) -> ChatState:
    """Add a pending call to its message, which is opened if it does not exist."""
    if _pending(state, event.tool_call_id) is not None:
        return state
    parent = _parent(state, event.parent_message_id)
    if parent is None:
        key = event.tool_call_id if event.parent_message_id is None else event.parent_message_id
        state, opened = open_assistant(state, key, has_text=False)
        parent = opened.head
    elif makes_call(parent, (event.tool_call_id,)):
        return state
    call = ToolCall(event.tool_call_id, event.tool_call_name, parent_message_id=parent.id)
    return replace(state, pending_tool_calls=(*state.pending_tool_calls, call))


def append_arguments(event: ToolCallArgsEvent, state: ChatState) -> ChatState:
    """Append to the arguments of a pending call that is not complete."""
    call = _pending(state, event.tool_call_id)
    if call is None or not event.delta or is_committed(state, call):
        return state
    return _with_pending(state, call, call.append(event.delta))


def end_call(event: ToolCallEndEvent, state: ChatState) -> ChatState:
    """Commit a call to its message; it stays pending until its result arrives."""
    call = _pending(state, event.tool_call_id)
    if call is None or is_committed(state, call):
        return state
    return _commit_call(state, call, event_time(event))


def add_result(event: ToolCallResultEvent, state: ChatState) -> ChatState:
    """Insert a result after the message that made the call, in the order of its calls.

    A second result of a call and a result of an unknown call change nothing.
    """
    try:
        parts = event.content
        content, attachments = parse_content(
            parts
            if isinstance(parts, str)
            else plain([part.model_dump(by_alias=True) for part in parts])
        )
    except JSON_ERRORS as error:
        return with_malformed_event(state, event, error)
    call = _pending(state, event.tool_call_id)
    if call is not None and not is_committed(state, call):
        state = _commit_call(state, call, event_time(event))
    index = _answer_index(state, event.tool_call_id)
    if call is not None:
        pending = tuple(each for each in state.pending_tool_calls if each.id != call.id)
        state = replace(state, pending_tool_calls=pending)
    if index is None:
        return state
    answer = Message(
        unused_id(event.message_id, state.messages, state.open_messages),
        "tool",
        content,
        timestamp=event_time(event),
        tool_call_id=event.tool_call_id,
        attachments=attachments,
    )
    return replace(state, messages=(*state.messages[:index], answer, *state.messages[index:]))


def _pending(state: ChatState, call_id: str) -> ToolCall | None:
    return next((call for call in state.pending_tool_calls if call.id == call_id), None)


def _with_pending(state: ChatState, call: ToolCall, changed: ToolCall) -> ChatState:
    pending = tuple(changed if each is call else each for each in state.pending_tool_calls)
    return replace(state, pending_tool_calls=pending)


def _parent(state: ChatState, parent_id: str | None) -> Message | None:
    """Return the assistant message with the id `parent_id` in this turn, or None."""
    for opened in state.open_messages:
        if opened.key is not None and opened.key == parent_id and opened.head.role == "assistant":
            return opened.head
    for message in reversed(state.messages):
        if message.role == "user":
            return None
        if message.id == parent_id and message.role == "assistant":
            return message
    return None


def _commit_call(state: ChatState, call: ToolCall, at: datetime | None) -> ChatState:
    """Return `state` with a complete call added to its message."""
    done = replace(call, arguments=call.arguments)  # joins the pieces once
    for index, opened in enumerate(state.open_messages):
        if opened.head.id == call.parent_message_id:
            state = _with_pending(state, call, done)
            head = replace(opened.head, tool_calls=(*opened.head.tool_calls, done))
            opened = replace(opened, head=head)
            if opened.has_text:
                return with_open(state, index, opened)
            message = replace(opened.message, timestamp=at)
            return without_open(state, index, commit(state.messages, message))
    for index in reversed(range(len(state.messages))):
        message = state.messages[index]
        if message.id == call.parent_message_id:
            changed = replace(message, tool_calls=(*message.tool_calls, done))
            messages = (*state.messages[:index], changed, *state.messages[index + 1 :])
            return replace(_with_pending(state, call, done), messages=messages)
    preferred_id = call.id if call.parent_message_id is None else call.parent_message_id
    parent_id = unused_id(preferred_id, state.messages, state.open_messages)
    done = replace(done, parent_message_id=parent_id)
    changed = Message(parent_id, "assistant", tool_calls=(done,), timestamp=at)
    return replace(_with_pending(state, call, done), messages=(*state.messages, changed))


def _answer_index(state: ChatState, call_id: str) -> int | None:
    """Return the index for the answer to a call, None if it has one or the call is unknown."""
    for opened in state.open_messages:
        if makes_call(opened.head, (call_id,)):
            calls = opened.head.tool_calls
            return _insertion_index(
                state.messages, commit_index(state.messages, calls), calls, call_id
            )
    for index in reversed(range(len(state.messages))):
        if makes_call(state.messages[index], (call_id,)):
            return _insertion_index(
                state.messages, index + 1, state.messages[index].tool_calls, call_id
            )
    return None


def _insertion_index(
    messages: Sequence[Message], start: int, calls: Sequence[ToolCall], call_id: str
) -> int | None:
    """Return the index of an answer among those from `start` on, in the order of `calls`."""
    order = {call.id: position for position, call in enumerate(calls)}
    position = start
    for index in range(start, len(messages)):
        message = messages[index]
        if message.role != "tool":
            break
        if message.tool_call_id == call_id:
            return None
        if order.get(message.tool_call_id or "", -1) < order[call_id]:
            position = index + 1
    return position
