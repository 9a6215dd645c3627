import json
from typing import Any

import pytest
from ag_ui.core import BaseEvent, EventType, RunErrorEvent, TextMessageContentEvent
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import (
    AgentError,
    BusinessError,
    KoelError,
    ProtocolError,
    TransportError,
    UnknownEvent,
    error_event,
    parse_event,
)
from koel_tui.protocol.events.event_types import run_error
from tests.hostile_summary import Tally
from tests.protocol.strategies import texts, values

_RUN = {"threadId": "t", "runId": "r"}
_TOOL = {"toolCallId": "c"}
_MESSAGE = {"messageId": "m"}
_ACTIVITY = {**_MESSAGE, "activityType": "plan"}
_PATCH = [{"op": "replace", "path": "/a", "value": 1}]
_SUBAGENT = {"subagentRunId": "s"}
FIELDS: dict[str, dict[str, Any]] = {
    "TEXT_MESSAGE_START": {**_MESSAGE, "role": "assistant"},
    "TEXT_MESSAGE_CONTENT": {**_MESSAGE, "delta": "x"},
    "TEXT_MESSAGE_END": _MESSAGE,
    "TEXT_MESSAGE_CHUNK": {**_MESSAGE, "delta": "x"},
    "TOOL_CALL_START": {**_TOOL, "toolCallName": "find"},
    "TOOL_CALL_ARGS": {**_TOOL, "delta": "{"},
    "TOOL_CALL_END": _TOOL,
    "TOOL_CALL_CHUNK": {**_TOOL, "delta": "{"},
    "TOOL_CALL_RESULT": {**_TOOL, **_MESSAGE, "content": "42"},
    "STATE_SNAPSHOT": {"snapshot": {"a": None}},
    "STATE_DELTA": {"delta": _PATCH},
    "MESSAGES_SNAPSHOT": {"messages": [{"id": "u", "role": "user", "content": "hi"}]},
    "ACTIVITY_SNAPSHOT": {**_ACTIVITY, "content": {"a": 1}},
    "ACTIVITY_DELTA": {**_ACTIVITY, "patch": _PATCH},
    "RAW": {"event": {"a": [1]}},
    "CUSTOM": {"name": "n", "value": None},
    "RUN_STARTED": _RUN,
    "RUN_FINISHED": {**_RUN, "outcome": {"type": "cancelled"}},
    "RUN_ERROR": {"message": "broken", "code": "c"},
    "STEP_STARTED": {"stepName": "s"},
    "STEP_FINISHED": {"stepName": "s"},
    "REASONING_START": _MESSAGE,
    "REASONING_MESSAGE_START": {**_MESSAGE, "role": "reasoning"},
    "REASONING_MESSAGE_CONTENT": {**_MESSAGE, "delta": "x"},
    "REASONING_MESSAGE_END": _MESSAGE,
    "REASONING_MESSAGE_CHUNK": {**_MESSAGE, "delta": "x"},
    "REASONING_END": _MESSAGE,
    "REASONING_ENCRYPTED_VALUE": {"subtype": "message", "entityId": "m", "encryptedValue": "AQ=="},
    "SUBAGENT_STARTED": {**_SUBAGENT, "name": "helper"},
    "SUBAGENT_FINISHED": {**_SUBAGENT, "result": 1},
    "SUBAGENT_ERROR": {**_SUBAGENT, "message": "broken"},
}


@pytest.mark.parametrize("kind", [kind.value for kind in EventType])
def test_session_case_14_every_event_type_parses_and_round_trips(kind: str) -> None:
    wire = {"type": kind, **FIELDS[kind], "timestamp": 5, "unknownField": [1]}
    event = parse_event(wire)
    assert isinstance(event, BaseEvent)
    assert type(event).__name__.lower() == kind.replace("_", "").lower() + "event"
    assert json.loads(event.model_dump_json(by_alias=True)) == wire


def test_all_31_event_types_are_known() -> None:
    assert len(FIELDS) == len(EventType) == 31


def test_session_case_15_an_unknown_event_is_kept_verbatim() -> None:
    wire = {"type": "SOME_FUTURE_EVENT", "payload": 42}
    assert parse_event(wire) == UnknownEvent("SOME_FUTURE_EVENT", wire)


@pytest.mark.parametrize("wire", [{}, {"type": None}, {"type": 3}, [], None, "text"])
def test_an_event_without_a_type_is_unknown(wire: object) -> None:
    assert parse_event(wire) == UnknownEvent("", wire)


def test_a_known_type_with_bad_fields_is_a_protocol_error() -> None:
    error = parse_event({"type": "TEXT_MESSAGE_CONTENT", "messageId": 3})
    assert isinstance(error, ProtocolError)
    assert (error.code, error.event_type) == ("malformed", "TEXT_MESSAGE_CONTENT")
    assert "messageId" in error.message


def test_broken_surrogates_are_repaired_before_validation() -> None:
    event = parse_event({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "a\ud83d"})
    assert isinstance(event, TextMessageContentEvent)
    assert event.delta == "a\ufffd"


def test_nesting_too_deep_is_a_protocol_error() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert isinstance(parse_event({"type": "RAW", "event": deep}), ProtocolError)


def test_parsing_arbitrary_events_never_raises(tally: Tally) -> None:
    tried = []
    strange = st.dictionaries(texts | st.sampled_from(["delta"]), values)

    @given(st.sampled_from(list(FIELDS)), strange)
    def parsed(kind: str, fields: dict[str, Any]) -> None:
        tried.append(kind)
        parse_event({"type": kind, **FIELDS[kind], **fields})
        parse_event({**fields, "type": kind})

    parsed()
    tally("event stream", tried=2 * len(tried))


@pytest.mark.parametrize(
    "error",
    [
        TransportError("m", "timeout", status=504),
        ProtocolError("m", "closed", event_type="RUN_ERROR"),
        AgentError("m", "internal", agent_code="E7"),
        BusinessError("m", "quota", details={"left": 0}),
    ],
)
def test_an_error_survives_its_way_through_an_event(error: KoelError) -> None:
    event = parse_event(json.loads(error_event(error).model_dump_json(by_alias=True)))
    assert isinstance(event, RunErrorEvent)
    assert run_error(event) == error


@pytest.mark.parametrize("code", [None, "", "E7", "transport.timeout", "other.word", "."])
def test_any_other_code_is_the_agents_own(code: str | None) -> None:
    error = run_error(RunErrorEvent(message="m", code=code))
    assert error == AgentError("m", agent_code=code)
