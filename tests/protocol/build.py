"""Short constructors of events, and helpers that fold events into a state."""

from collections.abc import Mapping
from functools import reduce

from ag_ui import core
from ag_ui.core import BaseEvent

from koel_tui.protocol import ChatState, Event, Message, fold
from tests.protocol.strategies import A_MOMENT

A_STAMP = int(A_MOMENT.timestamp() * 1000)
HELLO = Message("u1", "user", "hello", timestamp=A_MOMENT)


def start(message_id: str = "a1", **fields: object) -> BaseEvent:
    return core.TextMessageStartEvent.model_validate({"message_id": message_id, **fields})


def content(delta: str, message_id: str = "a1") -> BaseEvent:
    return core.TextMessageContentEvent(message_id=message_id, delta=delta)


def end(message_id: str = "a1") -> BaseEvent:
    return core.TextMessageEndEvent(message_id=message_id, timestamp=A_STAMP)


def text(said: str, message_id: str = "a1") -> tuple[BaseEvent, ...]:
    return start(message_id), content(said, message_id), end(message_id)


def started(**fields: object) -> BaseEvent:
    return core.RunStartedEvent.model_validate({"thread_id": "t", "run_id": "r", **fields})


def finished(outcome: str | None = None) -> BaseEvent:
    fields = {"thread_id": "t", "run_id": "r", "timestamp": A_STAMP}
    shaped = None if outcome is None else {"type": outcome}
    return core.RunFinishedEvent.model_validate({**fields, "outcome": shaped})


def snapshot(*messages: Mapping[str, object]) -> BaseEvent:
    return core.MessagesSnapshotEvent.model_validate({"messages": messages, "timestamp": A_STAMP})


def call_start(call_id: str = "tc1", parent: str | None = "a1", name: str = "find") -> BaseEvent:
    return core.ToolCallStartEvent(
        tool_call_id=call_id, tool_call_name=name, parent_message_id=parent
    )


def call_args(delta: str, call_id: str = "tc1") -> BaseEvent:
    return core.ToolCallArgsEvent(tool_call_id=call_id, delta=delta)


def call_end(call_id: str = "tc1") -> BaseEvent:
    return core.ToolCallEndEvent(tool_call_id=call_id, timestamp=A_STAMP)


def call(call_id: str = "tc1", parent: str | None = "a1") -> tuple[BaseEvent, ...]:
    return call_start(call_id, parent), call_args("{}", call_id), call_end(call_id)


def result(call_id: str = "tc1", said: str = "42", message_id: str | None = None) -> BaseEvent:
    return core.ToolCallResultEvent(
        tool_call_id=call_id,
        message_id=message_id or f"r-{call_id}",
        content=said,
        timestamp=A_STAMP,
    )


def thought(said: str, message_id: str = "r1") -> tuple[BaseEvent, ...]:
    return (
        core.ReasoningStartEvent(message_id=message_id),
        core.ReasoningMessageStartEvent(message_id=message_id, role="reasoning"),
        core.ReasoningMessageContentEvent(message_id=message_id, delta=said),
        core.ReasoningMessageEndEvent(message_id=message_id),
        core.ReasoningEndEvent(message_id=message_id),
    )


def encrypted(entity_id: str, value: str, subtype: str = "message") -> BaseEvent:
    return core.ReasoningEncryptedValueEvent.model_validate(
        {"subtype": subtype, "entity_id": entity_id, "encrypted_value": value}
    )


def fold_all(*given: Event, over: ChatState | None = None) -> ChatState:
    return reduce(fold, given, over or ChatState())
