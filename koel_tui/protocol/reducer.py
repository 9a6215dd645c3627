"""The fold: how each event carries a state on. Pure; what changes nothing returns its argument."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import singledispatch

from ag_ui.core import (
    BaseEvent,
    MessagesSnapshotEvent,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    StateSnapshotEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
)

from koel_tui.protocol.errors import ProtocolError
from koel_tui.protocol.events import Event, run_error
from koel_tui.protocol.messages import from_ag_ui
from koel_tui.protocol.plain import plain
from koel_tui.protocol.state import ChatState, Message, OpenMessage, RunPhase, end_run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_PLAIN = (TypeError, ValueError, RecursionError)
_STREAMED_ROLES = ("user", "assistant", "system")


def fold(state: ChatState, event: Event) -> ChatState:
    """Return `state` carried on by `event`; the identical object when nothing changes.

    Never raises. A message that an event completes takes its time from the event, which is why
    the fold needs no clock.
    """
    return _fold(event, state)


@singledispatch
def _fold(event: object, state: ChatState) -> ChatState:
    return state


@_fold.register
def _run_started(event: RunStartedEvent, state: ChatState) -> ChatState:
    messages = state.messages
    if event.input is not None:
        known = {message.id for message in messages}
        try:
            given = from_ag_ui(event.input.messages)
        except _NOT_PLAIN as error:
            return _malformed(state, event, error)
        messages += tuple(message for message in given if message.id not in known)
    started = replace(
        state,
        messages=messages,
        open_messages=(),
        pending_tool_calls=(),
        error=None,
        phase=RunPhase.RUNNING,
    )
    return state if started == state else started


@_fold.register
def _run_finished(event: RunFinishedEvent, state: ChatState) -> ChatState:
    cancelled = event.outcome is not None and event.outcome.type == "cancelled"
    return end_run(state, RunPhase.CANCELLED if cancelled else RunPhase.IDLE, _time(event))


@_fold.register
def _run_error(event: RunErrorEvent, state: ChatState) -> ChatState:
    return replace(end_run(state, RunPhase.ERROR, _time(event)), error=run_error(event))


@_fold.register
def _step_started(event: StepStartedEvent, state: ChatState) -> ChatState:
    return _in_phase(state, RunPhase.STEP_RUNNING)


@_fold.register
def _step_finished(event: StepFinishedEvent, state: ChatState) -> ChatState:
    return _in_phase(state, RunPhase.RUNNING)


@_fold.register
def _text_start(event: TextMessageStartEvent, state: ChatState) -> ChatState:
    if any(message.key == event.message_id for message in state.open_messages):
        return state
    role = event.role if event.role in _STREAMED_ROLES else "assistant"
    message = Message(_unused_id(event.message_id, state), str(role), name=event.name)
    opened = OpenMessage.of(message, event.message_id)
    return replace(state, open_messages=(*state.open_messages, opened))


@_fold.register
def _text_content(event: TextMessageContentEvent, state: ChatState) -> ChatState:
    if not event.delta:
        return state
    for index, message in enumerate(state.open_messages):
        if message.key == event.message_id:
            before, after = state.open_messages[:index], state.open_messages[index + 1 :]
            return replace(state, open_messages=(*before, message.append(event.delta), *after))
    return state


@_fold.register
def _text_end(event: TextMessageEndEvent, state: ChatState) -> ChatState:
    for index, open_message in enumerate(state.open_messages):
        if open_message.key == event.message_id:
            message = replace(open_message.message, timestamp=_time(event))
            return replace(
                state,
                messages=(*state.messages, message),
                open_messages=state.open_messages[:index] + state.open_messages[index + 1 :],
            )
    return state


@_fold.register
def _state_snapshot(event: StateSnapshotEvent, state: ChatState) -> ChatState:
    try:
        snapshot = {} if event.snapshot is None else plain(event.snapshot)
    except _NOT_PLAIN as error:
        return _malformed(state, event, error)
    if not isinstance(snapshot, dict):
        return _malformed(state, event, TypeError("it is not an object"))
    return state if snapshot == state.state else replace(state, state=snapshot)


@_fold.register
def _messages_snapshot(event: MessagesSnapshotEvent, state: ChatState) -> ChatState:
    try:
        given = from_ag_ui(event.messages)
    except _NOT_PLAIN as error:
        return _malformed(state, event, error)
    reasons = any(message.role == "reasoning" for message in event.messages)
    acts = any(message.role == "activity" for message in event.messages)
    local = {message.id: message for message in state.messages}
    by_id = {message.id: message for message in given}
    reopened = tuple(_rewritten(message, by_id) for message in state.open_messages)
    still_open = {message.head.id for message in reopened}
    merged = [
        _merge(message, local.get(message.id), reasons, _time(event))
        for message in by_id.values()
        if message.id not in still_open
    ]
    messages = tuple(merged if acts else _with_activity(merged, state.messages))
    if messages == state.messages and reopened == state.open_messages:
        return state
    return replace(state, messages=messages, open_messages=reopened)


def _merge(
    message: Message, local: Message | None, reasons: bool, time: datetime | None
) -> Message:
    """Return the message of a snapshot with what only the local one knows."""
    if local is None:
        return replace(message, timestamp=time)
    return replace(
        message,
        timestamp=local.timestamp or time,
        reasoning=message.reasoning if reasons else local.reasoning,
        interrupted=local.interrupted and message.content == local.content,
        attachments=message.attachments or local.attachments,
        usage=local.usage,
        extra={**local.extra, **message.extra},
    )


def _with_activity(merged: list[Message], local: Iterable[Message]) -> list[Message]:
    """Return `merged` with the local activity messages, each behind the one it stood behind."""
    result = list(merged)
    ids = [message.id for message in result]
    place = 0
    for message in local:
        if message.id in ids:
            place = ids.index(message.id) + 1
        elif message.role == "activity":
            result.insert(place, message)
            ids.insert(place, message.id)
            place += 1
    return result


def _rewritten(message: OpenMessage, snapshot: dict[str, Message]) -> OpenMessage:
    """Return an open message with the text a snapshot gives it, if it does."""
    given = snapshot.get(message.head.id)
    return message if given is None else OpenMessage.of(given, message.key)


def _unused_id(wanted: str, state: ChatState) -> str:
    """Return `wanted`, or a variant of it when a message already has that id.

    Agents may use an id again in a later run; in a thread each message keeps its own.
    """
    used = {message.id for message in state.messages}
    used.update(message.head.id for message in state.open_messages)
    unused, number = wanted, 1
    while unused in used:
        number += 1
        unused = f"{wanted}-{number}"
    return unused


def _in_phase(state: ChatState, phase: RunPhase) -> ChatState:
    return state if state.phase == phase else replace(state, phase=phase)


def _malformed(state: ChatState, event: BaseEvent, cause: Exception) -> ChatState:
    kind = event.type.value
    error = ProtocolError(
        f"The agent sent a {kind} event that cannot be used: {cause}. Nothing in it was applied.",
        event_type=kind,
        cause=cause,
    )
    return replace(state, error=error, phase=RunPhase.ERROR)


def _time(event: BaseEvent) -> datetime | None:
    """Return the event's time, which is in milliseconds since 1970, if it has one that exists."""
    if event.timestamp is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=event.timestamp)
    except OverflowError:
        return None
