import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given

from koel_tui.protocol import (
    AgentError,
    ChatState,
    Fork,
    Message,
    OpenMessage,
    ProtocolError,
    RunPhase,
    ToolCall,
    decode_state,
    encode_state,
)
from koel_tui.protocol.codec.encoded_state import EncodedState
from koel_tui.protocol.codec.state_codec import decode_time, encode_time
from tests.protocol.golden import GOLDEN
from tests.protocol.strategies import states


def _decoded(text: str) -> ChatState:
    return decode_state(json.loads(text))


def test_storage_case_01_the_golden_state_round_trips_byte_for_byte() -> None:
    assert encode_state(_decoded(GOLDEN)).encode() == GOLDEN.encode()


def test_the_golden_state_is_decoded_as_in_koel() -> None:
    state = _decoded(GOLDEN)
    assert state.phase is RunPhase.RUNNING
    assert [message.content for message in state.messages] == ["What is the weather?"]
    assert state.messages[0].timestamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert state.pending_message is not None
    assert state.pending_message.content == "The weather is"
    assert state.pending_tool_calls[0].arguments == '{"city":"Ha'
    assert state.reasoning_echo == {"e1": b"\x01\x02\x03"}


@pytest.mark.parametrize("phase", list(RunPhase))
def test_storage_case_02_every_phase_round_trips(phase: RunPhase) -> None:
    assert _decoded(encode_state(ChatState(phase=phase))).phase is phase


def test_storage_case_03_bytes_in_reasoning_echo_survive() -> None:
    echo = {"e": bytes([0, 1, 2, 250, 251, 255])}
    assert _decoded(encode_state(ChatState(reasoning_echo=echo))).reasoning_echo == echo


def test_storage_case_04_an_error_is_never_stored() -> None:
    state = ChatState(error=AgentError("broken", cause=ValueError(object())))
    text = encode_state(state)
    assert "error" not in json.loads(text)
    assert _decoded(text) == replace(state, error=None)


@given(states)
def test_any_state_round_trips(state: ChatState) -> None:
    text = encode_state(state)
    assert text.isascii() and "\n" not in text
    assert _decoded(text) == state
    assert encode_state(_decoded(text)) == text


def test_many_messages_are_written_as_one_list() -> None:
    messages = tuple(Message(str(number), "user", "x" * number) for number in range(200))
    assert _decoded(encode_state(ChatState(messages=messages))).messages == messages


def test_several_open_messages_add_one_key_and_one_does_not() -> None:
    first, second = (OpenMessage.of(Message(name, "assistant", name)) for name in "ab")
    one, two = (
        json.loads(encode_state(ChatState(open_messages=x))) for x in ((first,), (first, second))
    )
    assert "pendingMessages" not in one
    assert two["pendingMessage"]["id"] == "a"
    assert [message["id"] for message in two["pendingMessages"]] == ["b"]


def test_unknown_keys_are_kept_at_every_level() -> None:
    wire = json.loads(GOLDEN)
    for place in (wire, wire["messages"][0], wire["pendingMessage"], wire["pendingToolCalls"][0]):
        place["fromTheFuture"] = {"kept": [1, None]}
    assert json.loads(encode_state(decode_state(wire))) == wire


def test_our_message_fields_are_written_only_when_they_say_something() -> None:
    plain = json.loads(encode_state(ChatState(messages=(Message("1", "user"),))))
    koel_keys = ["id", "role", "content", "timestamp", "toolCallId", "name"]
    assert list(plain["messages"][0]) == koel_keys
    marked = Message("1", "assistant", interrupted=True)
    assert json.loads(encode_state(ChatState(messages=(marked,))))["messages"][0]["interrupted"]


def test_unknown_keys_cannot_overwrite_known_ones() -> None:
    message = Message("1", "user", "mine", extra={"content": "theirs", "interrupted": "no"})
    assert (
        json.loads(encode_state(ChatState(messages=(message,))))["messages"][0]["content"] == "mine"
    )


def test_absent_keys_mean_defaults() -> None:
    assert decode_state({}) == ChatState()
    message = decode_state({"messages": [{"id": "1", "role": "user", "content": None}]}).messages[0]
    assert message == Message("1", "user")
    call = decode_state({"pendingToolCalls": [{"id": "t", "name": "find"}]}).pending_tool_calls[0]
    assert call == ToolCall("t", "find")
    said = {"id": "a", "role": "user"}
    fork = decode_state({"forks": [{"branches": [[], [said]]}]}).forks[0]
    assert fork == Fork(None, ((), (Message("a", "user"),)), 0)


def _broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    wire: dict[str, Any] = json.loads(GOLDEN)
    change(wire)
    return wire


def _first_message(**fields: object) -> dict[str, Any]:
    return _broken(lambda wire: wire["messages"][0].update(fields))


def _first_call(**fields: object) -> dict[str, Any]:
    return _broken(lambda wire: wire["pendingToolCalls"][0].update(fields))


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (None, "the state is not an object"),
        ([], "the state is not an object"),
        ("text", "the state is not an object"),
        (_broken(lambda wire: wire.update(messages={})), "messages is not of type list"),
        (_broken(lambda wire: wire.update(messages=["text"])), "a message is not an object"),
        (_first_message(id=None), "id of a message or tool call is missing or not a text"),
        (_first_message(role=3), "role of a message or tool call is missing or not a text"),
        (_first_message(content=3), "content is not of type str"),
        (_first_message(timestamp="yesterday"), "'yesterday' is not a time"),
        (_first_message(timestamp="0001-01-01T00:00:00+09:00"), "is not a time"),
        (_first_message(timestamp="x" * 50), f"'{'x' * 40}' is not a time"),
        (_first_message(timestamp=3), "timestamp is not of type str"),
        (_first_message(toolCallId=3), "toolCallId is not of type str"),
        (_first_message(name=3), "name is not of type str"),
        (_first_message(reasoning=3), "reasoning is not of type str"),
        (_first_message(interrupted="yes"), "interrupted is not of type bool"),
        (_first_message(attachments=[3]), "an attachment is not an object"),
        (_first_message(usage=[]), "usage is not of type dict"),
        (_first_message(reasoningIds=["r", 3]), "an entry of reasoningIds is not a text"),
        (_first_message(reasoningIds="r"), "reasoningIds is not of type list"),
        (_first_message(toolCalls=[3]), "a tool call is not an object"),
        (_broken(lambda wire: wire.update(pendingMessage=[])), "a message is not an object"),
        (_first_call(id=3), "id of a message or tool call is missing or not a text"),
        (_first_call(name=None), "name of a message or tool call is missing or not a text"),
        (_first_call(arguments={}), "arguments is not of type str"),
        (_first_call(parentMessageId=3), "parentMessageId is not of type str"),
        (_broken(lambda wire: wire.update(state=[])), "state is not of type dict"),
        (
            _broken(lambda wire: wire.update(reasoningEcho={"e": "###"})),
            "an entry of reasoningEcho is not base64",
        ),
        (
            _broken(lambda wire: wire.update(reasoningEcho={"e": 3})),
            "an entry of reasoningEcho is not a text",
        ),
        (_broken(lambda wire: wire.update(phase="asleep")), "the phase 'asleep' is not known"),
        (_broken(lambda wire: wire.update(phase=["idle"])), "the phase ['idle'] is not known"),
    ],
)
def test_json_that_is_not_a_saved_state_is_a_typed_error(wire: object, reason: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_state(wire)
    assert raised.value.code == "malformed"
    assert raised.value.message.startswith("This is not a saved conversation: ")
    assert raised.value.message.endswith(f"{reason}.")


FULL = Message(
    "a1",
    "assistant",
    "42",
    timestamp=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
    tool_call_id="t0",
    name="Ada",
    reasoning="Hm.",
    tool_calls=(ToolCall("t1", "find", '{"q":1}', parent_message_id="a1", extra={"x": 1}),),
    interrupted=True,
    attachments=({"type": "image"},),
    usage={"output_tokens": 1},
    extra={"later": None},
    reasoning_ids=("r1", "r2"),
)
FULL_TEXT = (
    '{"id":"a1","role":"assistant","content":"42","timestamp":"2026-01-02T03:04:05.678Z",'
    '"toolCallId":"t0","name":"Ada","reasoning":"Hm.","reasoningIds":["r1","r2"],'
    '"toolCalls":[{"id":"t1","name":"find","arguments":"{\\"q\\":1}","parentMessageId":"a1",'
    '"x":1}],"interrupted":true,"attachments":[{"type":"image"}],"usage":{"output_tokens":1},'
    '"later":null}'
)
BARE_TEXT = '{"id":"u1","role":"user","content":"","timestamp":null,"toolCallId":null,"name":null}'


def test_the_encoding_of_a_complete_state_is_unchanged() -> None:
    bare = Message("u1", "user")
    forks = (
        Fork(None, ((bare, FULL), ()), shown=1),
        Fork("u1", ((), (bare,), (FULL,)), shown=0),
    )
    state = ChatState(
        messages=(bare, FULL),
        open_messages=(OpenMessage.of(bare), OpenMessage.of(FULL), OpenMessage.of(bare)),
        pending_tool_calls=(ToolCall("t2", "find"), ToolCall("t3", "find", parent_message_id="a1")),
        state={"é": 1},
        reasoning_echo={"e1": b"\0"},
        phase=RunPhase.STEP_RUNNING,
        forks=forks,
        extra={"more": 1, "error": "never"},
    )
    text = encode_state(state)
    assert text == (
        f'{{"messages":[{BARE_TEXT},{FULL_TEXT}],"pendingMessage":{BARE_TEXT},'
        '"pendingToolCalls":[{"id":"t2","name":"find","arguments":"","parentMessageId":null},'
        '{"id":"t3","name":"find","arguments":"","parentMessageId":"a1"}],'
        '"state":{"\\u00e9":1},"reasoningEcho":{"e1":"AA=="},"phase":"stepRunning",'
        f'"pendingMessages":[{FULL_TEXT},{BARE_TEXT}],'
        f'"forks":[{{"after":null,"shown":1,"branches":[[{BARE_TEXT},{FULL_TEXT}],[]]}},'
        f'{{"after":"u1","shown":0,"branches":[[],[{BARE_TEXT}],[{FULL_TEXT}]]}}],"more":1}}'
    )
    assert _decoded(text) == replace(state, extra={"more": 1})


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:05.000001Z"),
        ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05.000Z"),
        ("0012-01-02T03:04:05.678Z", "0012-01-02T03:04:05.678Z"),
        ("2026-01-02T03:04:05.001001Z", "2026-01-02T03:04:05.001001Z"),
    ],
)
def test_times_are_read_in_any_zone_and_written_in_utc(text: str, written: str) -> None:
    assert decode_time(text).tzinfo is UTC
    assert encode_time(decode_time(text)) == written


def test_times_do_not_depend_on_the_zone_of_the_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    try:
        moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert decode_time("2026-01-02T03:04:05") == moment
        assert decode_time("2026-01-02T05:04:05+02:00").tzinfo is UTC
        for elsewhere in (moment.astimezone(), moment.astimezone(timezone(timedelta(hours=2)))):
            assert encode_time(elsewhere) == "2026-01-02T03:04:05.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_b21_a_number_that_is_not_valid_json_is_never_written(number: float) -> None:
    message = Message("a", "assistant", "x", usage={"rate": number})
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_state(ChatState(state={"x": [number]}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        EncodedState.of(ChatState(messages=(message,)))
