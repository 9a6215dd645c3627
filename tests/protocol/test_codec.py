import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import (
    AgentError,
    ChatState,
    Message,
    OpenMessage,
    ProtocolError,
    RunPhase,
    codec,
    decode_state,
    encode_state,
)
from koel_tui.protocol.codec import StateEncoder, decode_time, encode_time
from tests.protocol.golden import GOLDEN
from tests.protocol.strategies import states


def _decoded(text: str) -> ChatState:
    return decode_state(json.loads(text))


def test_storage_case_01_the_golden_state_round_trips_byte_for_byte() -> None:
    assert encode_state(_decoded(GOLDEN)).encode() == GOLDEN.encode()


def test_the_golden_state_means_what_koel_means() -> None:
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


def _broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    wire: dict[str, Any] = json.loads(GOLDEN)
    change(wire)
    return wire


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        "text",
        3,
        _broken(lambda wire: wire.update(messages={})),
        _broken(lambda wire: wire.update(messages=["text"])),
        _broken(lambda wire: wire["messages"][0].pop("id")),
        _broken(lambda wire: wire["messages"][0].update(content=3)),
        _broken(lambda wire: wire["messages"][0].update(timestamp="yesterday")),
        _broken(lambda wire: wire["messages"][0].update(timestamp="0001-01-01T00:00:00+09:00")),
        _broken(lambda wire: wire["messages"][0].update(timestamp=3)),
        _broken(lambda wire: wire["messages"][0].update(interrupted="yes")),
        _broken(lambda wire: wire["messages"][0].update(attachments=[3])),
        _broken(lambda wire: wire["messages"][0].update(reasoningIds=[3])),
        _broken(lambda wire: wire["messages"][0].update(reasoningIds="r")),
        _broken(lambda wire: wire.update(pendingMessage=[])),
        _broken(lambda wire: wire.update(pendingToolCalls=[{"id": "t"}])),
        _broken(lambda wire: wire.update(state=[])),
        _broken(lambda wire: wire.update(reasoningEcho={"e": "###"})),
        _broken(lambda wire: wire.update(reasoningEcho={"e": 3})),
        _broken(lambda wire: wire.update(phase="asleep")),
        _broken(lambda wire: wire.update(phase=["idle"])),
    ],
)
def test_what_is_no_state_is_a_typed_error(wire: object) -> None:
    with pytest.raises(ProtocolError, match="not a saved conversation"):
        decode_state(wire)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:05.000001Z"),
        ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05.000Z"),
    ],
)
def test_times_are_read_in_any_zone_and_written_in_utc(text: str, written: str) -> None:
    assert encode_time(decode_time(text)) == written


@given(st.lists(states, min_size=1, max_size=4))
def test_an_encoder_gives_of_each_state_what_encode_state_gives(several: list[ChatState]) -> None:
    encoder = StateEncoder()
    for state in several:
        longer = replace(state, messages=state.messages + several[0].messages)
        for each in (state, longer, state):
            assert encoder.encode(each) == encode_state(each)


def test_an_encoder_does_not_encode_a_message_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []

    def counting(message: Message) -> str:
        encoded.append(message.id)
        return encode(message)

    encode = codec._message
    monkeypatch.setattr(codec, "_message", counting)
    first, second, other = (Message(name, "user", name) for name in "abc")
    encoder = StateEncoder()
    for messages in [(first,), (first, second), (first, other)]:
        encoder.encode(ChatState(messages=messages))
    assert encoded == ["a", "b", "c"]
