from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import ChatState, Message, OpenMessage, RunPhase, encode_state
from koel_tui.protocol.codec import encoded_state, state_codec
from koel_tui.protocol.codec.encoded_state import EncodedState, TextChange
from tests.protocol.strategies import states


def _applied(text: str, change: TextChange) -> str:
    return text[: change.offset] + change.text + text[change.offset + change.removed :]


@given(st.lists(states, min_size=1, max_size=2))
def test_each_state_is_encoded_as_encode_state_does(several: list[ChatState]) -> None:
    encoded = None
    for state in several:
        longer = replace(state, messages=state.messages + several[0].messages)
        for each in (state, longer, state):
            encoded = EncodedState.of(each, encoded)
            assert encoded.to_bytes() == encode_state(each).encode()


@given(st.lists(states, min_size=1, max_size=3))
def test_a_change_applied_to_the_previous_text_gives_the_next_one(several: list[ChatState]) -> None:
    encoded = EncodedState.of(ChatState())
    for state in several:
        longer = replace(state, messages=several[0].messages + state.messages)
        for each in (state, longer, replace(longer, messages=longer.messages[1:]), state):
            following = EncodedState.of(each, encoded)
            text = _applied(encoded.to_bytes().decode(), following.change_from(encoded))
            assert text == encode_state(each)
            encoded = following


def test_the_encoded_change_of_a_growing_answer_is_as_long_as_the_added_text() -> None:
    messages = tuple(Message(str(number), "user", "word " * 50) for number in range(1000))
    answer = OpenMessage.of(Message("a", "assistant", "Once upon a time "))
    state = ChatState(messages, (answer,), phase=RunPhase.RUNNING)
    longer = replace(state, open_messages=(answer.append("there was a \N{SNOWMAN}"),))
    encoded = EncodedState.of(state)
    change = EncodedState.of(longer, encoded).change_from(encoded)
    assert (change.removed, change.text) == (0, "there was a \\u2603")
    done = replace(state, messages=(*messages, longer.open_messages[0].message), open_messages=())
    last = EncodedState.of(done, EncodedState.of(longer, encoded))
    assert len(last.change_from(EncodedState.of(longer)).text) < 1000


def test_a_message_is_not_encoded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[str] = []
    encode = state_codec.encode_message

    def counting(message: Message) -> str:
        ids.append(message.id)
        return encode(message)

    monkeypatch.setattr(encoded_state, "encode_message", counting)
    first, second, other = (Message(name, "user", name) for name in "abc")
    encoded = None
    for messages in [(first,), (first, second), (first, second, other), (first, other)]:
        for _ in range(2):
            encoded = EncodedState.of(ChatState(messages=messages), encoded)
    assert ids == ["a", "b", "c", "c"]
