"""Frames: valid messages survive encoding and decoding, and invalid ones are refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine import ChatMessage, ModelSpec, SessionMetrics, ToolCallDelta
from koel_tui.engine.wire_messages import (
    HEADER,
    Command,
    Event,
    Failed,
    Load,
    OpenSession,
    StartTurn,
    Text,
    TurnEnded,
    command_codec,
    event_codec,
)
from koel_tui.protocol import TurnSettings
from tests.protocol.setting_strategies import turn_settings

EVENTS = event_codec()


@pytest.mark.parametrize(
    "command",
    [
        Load(ModelSpec(Path("/models/a b.gguf"), context_tokens=512), None, 2),
        OpenSession(3, 1, "x", Path("/models/lora.gguf"), Path("/cache/x.kv")),
        StartTurn(
            4, 1, (ChatMessage("assistant", "", tool_calls=(ToolCallDelta("i", "n", "{}"),)),)
        ),
    ],
)
def test_commands_round_trip(command: Command) -> None:
    codec = command_codec()
    frame = codec.encode(command)
    assert HEADER.unpack(frame[: HEADER.size]) == (len(frame) - HEADER.size,)
    assert codec.decode(frame[HEADER.size :]) == command


@given(st.text(), st.integers(0, 2**40))
def test_any_text_round_trips(text: str, turn: int) -> None:
    event: Event = Text(turn, text)
    assert EVENTS.decode(EVENTS.encode(event)[HEADER.size :]) == event


@given(turn_settings())
def test_any_settings_of_a_turn_round_trip(settings: TurnSettings) -> None:
    codec = command_codec()
    start = StartTurn(1, 2, (ChatMessage("user", "hello"),), settings)
    read = codec.decode(codec.encode(start)[HEADER.size :])
    assert read == start
    assert isinstance(read, StartTurn)
    assert type(read.settings.thinking) is type(settings.thinking)  # 1 is not True


@pytest.mark.parametrize(
    "settings",
    [
        TurnSettings(schema={"\ud800": {"\udfff": ["\ud800"]}}),
        TurnSettings(tools=({"\ud800": 1},)),
    ],
    ids=["schema", "tools"],
)
def test_settings_with_lone_surrogates_in_keys_round_trip(settings: TurnSettings) -> None:
    """JSON escapes lone surrogates. Replacing them could make two keys of an object equal."""
    codec = command_codec()
    start = StartTurn(1, 2, (), settings)
    assert codec.decode(codec.encode(start)[HEADER.size :]) == start


def test_events_keep_their_figures() -> None:
    event = TurnEnded(1, "stopped", SessionMetrics(3, 1, 2, 0.5, 10.0, 20.0, 0.1, 99))
    assert EVENTS.decode(EVENTS.encode(event)[HEADER.size :]) == event


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"kind": "made up"}', b'{"kind": "text", "turn": "x"}', b"\xff", b"[" * 200_000],
    ids=lambda body: repr(body[:20]),
)
def test_an_unknown_wire_message_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        EVENTS.decode(body)


def test_errors_cross_the_border_as_their_own_class() -> None:
    failed = Failed(1, "ContextOverflowError", "too long")
    assert type(failed.as_error()).__name__ == "ContextOverflowError"
    assert type(Failed(1, "SystemExit", "no").as_error()).__name__ == "EngineError"
