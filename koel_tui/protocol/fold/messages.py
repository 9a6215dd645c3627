"""The fold of whole messages: snapshots of the thread, and activities."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from ag_ui.core import (
    ActivityDeltaEvent,
    ActivityMessage,
    ActivitySnapshotEvent,
    MessagesSnapshotEvent,
)

from koel_tui.protocol.fold.helpers import JSON_ERRORS, event_time, with_malformed_event
from koel_tui.protocol.fold.json_patch import apply_patch_operations
from koel_tui.protocol.messages import extract_encrypted_reasoning, from_ag_ui, parse_content
from koel_tui.protocol.rope import Rope
from koel_tui.protocol.state import ChatState, Message, OpenMessage, Thought, ToolCall


def replace_messages(event: MessagesSnapshotEvent, state: ChatState) -> ChatState:
    """Replace the messages by id; keep reasoning and activity if the snapshot has none."""
    try:
        snapshot = from_ag_ui(event.messages)
    except JSON_ERRORS as error:
        return with_malformed_event(state, event, error)
    has_reasoning = any(message.role == "reasoning" for message in event.messages)
    has_activity = any(message.role == "activity" for message in event.messages)
    local = {message.id: message for message in state.messages}
    by_id = {message.id: message for message in snapshot}
    reopened = tuple(_merge_open(opened, by_id, has_reasoning) for opened in state.open_messages)
    still_open = {opened.head.id for opened in reopened}
    merged = [
        _merge(message, local.get(message.id), has_reasoning, event_time(event))
        for message in by_id.values()
        if message.id not in still_open
    ]
    messages = tuple(merged if has_activity else _with_activity(merged, state.messages))
    replaced = replace(
        state,
        messages=messages,
        open_messages=reopened,
        pending_tool_calls=_without_answered(state.pending_tool_calls, snapshot),
        reasoning_echo={**state.reasoning_echo, **extract_encrypted_reasoning(event.messages)},
    )
    return state if replaced == state else replaced


def replace_activity(event: ActivitySnapshotEvent, state: ChatState) -> ChatState:
    """Add an activity message, or replace it in place unless `event.replace` is False."""
    model = ActivityMessage(
        id=event.message_id,
        role="activity",
        activity_type=event.activity_type,
        content=event.content,
    )
    try:
        (message,) = from_ag_ui([model])
    except JSON_ERRORS as error:
        return with_malformed_event(state, event, error)
    for index, existing in enumerate(state.messages):
        if existing.id == message.id:
            if existing.role != "activity" or event.replace is False:
                return state
            return _with_message(state, index, replace(message, timestamp=existing.timestamp))
    if any(opened.head.id == message.id for opened in state.open_messages):
        return state
    added = replace(message, timestamp=event_time(event))
    return replace(state, messages=(*state.messages, added))


def patch_activity(event: ActivityDeltaEvent, state: ChatState) -> ChatState:
    """Apply an atomic patch to the content of an activity message."""
    index = _activity_index(state, event.message_id)
    if index is None:
        return state
    existing = state.messages[index]
    try:
        text, _ = parse_content(apply_patch_operations(json.loads(existing.content), event.patch))
    except (ValueError, RecursionError) as error:
        return with_malformed_event(state, event, error)
    extra = {**existing.extra, "activityType": event.activity_type}
    return _with_message(state, index, replace(existing, content=text, extra=extra))


def _activity_index(state: ChatState, message_id: str) -> int | None:
    for index, message in enumerate(state.messages):
        if message.id == message_id and message.role == "activity":
            return index
    return None


def _with_message(state: ChatState, index: int, message: Message) -> ChatState:
    if message == state.messages[index]:
        return state
    messages = (*state.messages[:index], message, *state.messages[index + 1 :])
    return replace(state, messages=messages)


def _merge(
    message: Message, local: Message | None, has_reasoning: bool, time: datetime | None
) -> Message:
    """Return a snapshot's message with the data that only the local message has."""
    if local is None:
        return replace(message, timestamp=time)
    return replace(
        message,
        timestamp=local.timestamp or time,
        reasoning=message.reasoning if has_reasoning else local.reasoning,
        reasoning_ids=message.reasoning_ids if has_reasoning else local.reasoning_ids,
        interrupted=local.interrupted and message.content == local.content,
        attachments=message.attachments or local.attachments,
        usage=local.usage,
        finish_reason=local.finish_reason if message.content == local.content else None,
        extra={**local.extra, **message.extra},
    )


def _with_activity(merged: list[Message], local: Iterable[Message]) -> list[Message]:
    """Return `merged` with the local activity messages, each after its previous predecessor."""
    merged_ids = {message.id for message in merged}
    following: dict[str | None, list[Message]] = {}  # activity by the id of its predecessor
    predecessor: str | None = None
    for message in local:
        if message.id in merged_ids:
            predecessor = message.id
        elif message.role == "activity":
            following.setdefault(predecessor, []).append(message)
    result = following.pop(None, [])
    for message in merged:
        result += [message, *following.pop(message.id, ())]
    return result


def _merge_open(
    opened: OpenMessage, snapshot: Mapping[str, Message], has_reasoning: bool
) -> OpenMessage:
    """Return an open message with its data from a snapshot; it stays open."""
    if has_reasoning:
        reasoning_ids = {name for message in snapshot.values() for name in message.reasoning_ids}
        thoughts = tuple(
            Thought(thought.id) if thought.id in reasoning_ids else thought
            for thought in opened.thoughts
            if thought.is_open or thought.id not in reasoning_ids
        )
        opened = replace(opened, thoughts=thoughts)
    replacement = snapshot.get(opened.head.id)
    if replacement is None:
        return opened
    merged = _merge(replacement, opened.head, has_reasoning, None)
    head = replace(merged, content="", interrupted=False, finish_reason=None)
    return replace(opened, head=head, text=Rope.from_text(replacement.content))


def _without_answered(
    pending: tuple[ToolCall, ...], messages: tuple[Message, ...]
) -> tuple[ToolCall, ...]:
    """Return the calls of `pending` without a tool message after the message that made them."""
    answered: set[str | None] = set()
    later_calls: set[str] = set()
    for message in reversed(messages):
        if message.role == "tool" and message.tool_call_id not in later_calls:
            answered.add(message.tool_call_id)
        later_calls.update(call.id for call in message.tool_calls)
    return tuple(call for call in pending if call.id not in answered)
