import time
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise

import pytest
from ag_ui.core import TextMessageContentEvent
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import ChatState, Message, OpenMessage, RunPhase, end_run, fold, settle
from tests.protocol.strategies import A_MOMENT, LATER


def _writing(text: str, phase: RunPhase = RunPhase.RUNNING) -> ChatState:
    return ChatState(open_messages=(OpenMessage.of(Message("m", "assistant", text)),), phase=phase)


@given(st.lists(st.text(max_size=30)))
def test_an_open_message_contains_every_appended_delta(deltas: list[str]) -> None:
    message = OpenMessage.of(Message("m", "assistant", "start "))
    for delta in deltas:
        message = message.append(delta)
    assert message.message.content == "start " + "".join(deltas)
    lengths = [len(piece) for piece in message.pieces]
    assert all(2 * after <= before for before, after in pairwise(lengths))


def test_an_open_message_is_addressed_by_its_id_unless_it_has_another_name() -> None:
    message = Message("m", "assistant", "said")
    assert OpenMessage.of(message).key == "m"
    assert OpenMessage.of(message, "").key == ""
    assert OpenMessage.of(message, "k").head == Message("m", "assistant")
    assert OpenMessage.of(message, "k").message == message


def test_open_messages_are_equal_by_content() -> None:
    opened = OpenMessage.of(Message("m", "assistant"))
    assert hash(opened.append("ab")) == hash(opened) != hash(replace(opened, key="other"))
    assert opened != "m"
    assert opened.append("ab").append("c") == opened.append("abc")
    assert opened.append("abc") != opened.append("abd")


def test_appending_costs_linear_time() -> None:
    def seconds(count: int) -> float:
        state = _writing("")
        events = [TextMessageContentEvent(message_id="m", delta="word ")] * count
        start = time.process_time()
        for event in events:
            state = fold(state, event)
        spent = time.process_time() - start
        assert state.pending_messages[0].content == "word " * count
        return spent

    few = min(seconds(10_000) for _ in range(3))
    assert min(seconds(100_000) for _ in range(2)) / few <= 25  # 100 if the cost were quadratic


def test_states_are_frozen_and_compare_deeply() -> None:
    with pytest.raises(FrozenInstanceError):
        ChatState().phase = RunPhase.ERROR  # type: ignore[misc]  # it is frozen
    assert _writing("a") == _writing("a")
    assert _writing("a") != _writing("b")


@pytest.mark.parametrize("phase", [RunPhase.RUNNING, RunPhase.STEP_RUNNING])
def test_a_loaded_run_becomes_idle_and_its_half_message_stays(phase: RunPhase) -> None:
    settled = settle(_writing("Hel", phase), LATER)
    expected = Message("m", "assistant", "Hel", timestamp=LATER, interrupted=True)
    assert settled == ChatState(messages=(expected,))


@pytest.mark.parametrize("phase", [RunPhase.IDLE, RunPhase.ERROR, RunPhase.CANCELLED])
def test_a_settled_state_stays_the_same_object(phase: RunPhase) -> None:
    state = ChatState(messages=(Message("u", "user", "hi"),), phase=phase)
    assert settle(state) is state


def test_ending_a_run_drops_an_empty_message_and_keeps_a_time_it_has() -> None:
    assert end_run(_writing(""), RunPhase.CANCELLED).messages == ()
    timed = OpenMessage.of(Message("m", "assistant", "x", timestamp=A_MOMENT))
    ended = end_run(replace(_writing(""), open_messages=(timed,)), RunPhase.IDLE, LATER)
    assert ended.messages[0].timestamp == A_MOMENT
