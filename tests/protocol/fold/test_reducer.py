import json
from dataclasses import replace

import pytest
from ag_ui import core
from ag_ui.core import BaseEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from koel_tui.protocol import (
    AgentError,
    ChatState,
    Event,
    Message,
    OpenMessage,
    ProtocolError,
    RunPhase,
    ToolCall,
    TransportError,
    UnknownEvent,
    calls_to_answer,
    decode_state,
    encode_state,
    error_event,
    fold,
    to_ag_ui,
)
from tests.protocol.build import (
    A_STAMP,
    HELLO,
    content,
    end,
    finished,
    fold_all,
    snapshot,
    start,
    started,
)
from tests.protocol.strategies import A_MOMENT, events, states


def test_session_case_01_run_started_clears_error_and_pending_and_keeps_messages() -> None:
    before = ChatState(
        messages=(HELLO,),
        open_messages=(OpenMessage.of(Message("a1", "assistant", "half")),),
        pending_tool_calls=(ToolCall("t1", "find"),),
        error=AgentError("broken"),
        phase=RunPhase.ERROR,
    )
    assert fold(before, started()) == ChatState(messages=(HELLO,), phase=RunPhase.RUNNING)


def test_session_case_02_deltas_become_one_message() -> None:
    state = fold_all(start(), content("Hel"), content("lo"))
    assert state.messages == ()
    assert state.pending_message == Message("a1", "assistant", "Hello")
    done = fold(state, end())
    assert done.messages == (Message("a1", "assistant", "Hello", timestamp=A_MOMENT),)
    assert done.pending_message is None


@pytest.mark.parametrize("event", [content("x", "nobody"), end("nobody"), content("")])
def test_session_case_03_text_of_no_open_message_changes_nothing(event: BaseEvent) -> None:
    state = fold_all(start())
    assert fold(state, event) is state
    assert fold(ChatState(), event) == ChatState()


def test_session_case_06_a_state_snapshot_replaces_the_state() -> None:
    state = ChatState(state={"old": 1})
    assert fold(state, core.StateSnapshotEvent(snapshot={"new": 2})).state == {"new": 2}
    assert fold(state, core.StateSnapshotEvent(snapshot=None)).state == {}
    assert fold(state, core.StateSnapshotEvent(snapshot={"old": 1})) is state


def test_a_state_snapshot_is_not_shared_with_its_event() -> None:
    snapshot = {"list": [1]}
    state = fold(ChatState(), core.StateSnapshotEvent(snapshot=snapshot))
    snapshot["list"].append(2)
    assert state.state == {"list": [1]}


@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        ([], "used: it is not an object."),
        ("text", "used: it is not an object."),
        ({"a": float("nan")}, "not JSON compliant"),
        ({"a": object()}, "not JSON serializable"),
    ],
)
def test_a_snapshot_that_is_not_a_json_object_is_an_error_and_changes_no_state(
    snapshot: object, why: str
) -> None:
    before = ChatState(messages=(HELLO,), state={"old": 1}, phase=RunPhase.RUNNING)
    after = fold(before, core.StateSnapshotEvent(snapshot=snapshot))
    assert isinstance(after.error, ProtocolError)
    assert (after.error.code, after.error.event_type) == ("malformed", "STATE_SNAPSHOT")
    assert why in after.error.message and after.error.cause is not None
    assert replace(after, error=None) == replace(before, phase=RunPhase.ERROR)


@pytest.mark.parametrize(
    "event",
    [
        core.RawEvent(event={"any": 1}),
        core.CustomEvent(name="koel.activity", value={}),
        UnknownEvent("SOME_FUTURE_EVENT", {"payload": 42}),
        core.ToolCallArgsEvent(tool_call_id="t", delta="x"),
    ],
)
def test_session_case_11_other_events_return_the_identical_object(event: Event) -> None:
    state = fold_all(start(), content("Hel"), over=ChatState(messages=(HELLO,)))
    assert fold(state, event) is state


def test_two_open_messages_stay_apart() -> None:
    state = fold_all(
        start("a"), start("b"), content("1", "a"), content("2", "b"), content("3", "a")
    )
    assert [message.content for message in state.pending_messages] == ["13", "2"]
    done = fold_all(end("b"), end("a"), over=state)
    assert [(message.id, message.content) for message in done.messages] == [("b", "2"), ("a", "13")]


def test_a_second_start_of_an_open_message_loses_nothing() -> None:
    state = fold_all(start(), content("Hel"))
    assert fold(state, start()) is state


def test_an_id_used_again_gives_a_second_message() -> None:
    turn = (start(), content("one"), end())
    again = (start(), content("two"), end())
    done = fold_all(*turn, *again)
    assert [(message.id, message.content) for message in done.messages] == [
        ("a1", "one"),
        ("a1-2", "two"),
    ]


@pytest.mark.parametrize(
    ("role", "expected"),
    [(None, "assistant"), ("developer", "assistant"), ("user", "user"), ("system", "system")],
)
def test_roles_of_streamed_text(role: str | None, expected: str) -> None:
    state = fold_all(start(role=role, name="Ada"), end())
    assert (state.messages[0].role, state.messages[0].name) == (expected, "Ada")


@pytest.mark.parametrize("stamp", [None, 2**53 - 1, -(2**53) + 1])
def test_an_invalid_timestamp_is_ignored(stamp: int | None) -> None:
    ending = core.TextMessageEndEvent(message_id="a1", timestamp=stamp)
    assert fold_all(start(), ending).messages[0].timestamp is None


def test_steps_set_the_phase() -> None:
    running = fold(ChatState(), started())
    stepping = fold(running, core.StepStartedEvent(step_name="s"))
    assert stepping.phase is RunPhase.STEP_RUNNING
    assert fold(stepping, core.StepStartedEvent(step_name="s2")) is stepping
    assert fold(stepping, core.StepFinishedEvent(step_name="s")) == running


@pytest.mark.parametrize(
    ("outcome", "phase"),
    [(None, RunPhase.IDLE), ("success", RunPhase.IDLE), ("cancelled", RunPhase.CANCELLED)],
)
def test_run_finished_sets_the_phase_by_its_outcome(outcome: str | None, phase: RunPhase) -> None:
    assert fold_all(started(), finished(outcome)) == ChatState(phase=phase)


@pytest.mark.parametrize(
    "last",
    [finished(), finished("cancelled"), core.RunErrorEvent(message="x", timestamp=A_STAMP)],
)
def test_the_end_of_a_run_loses_no_text_and_keeps_it_once(last: BaseEvent) -> None:
    state = fold_all(started(), start("a"), content("Hel", "a"), start("b"), last)
    assert state.open_messages == ()
    half = Message("a", "assistant", "Hel", timestamp=A_MOMENT, interrupted=True)
    assert state.messages == (half,)
    assert fold(state, last).messages == state.messages


def test_run_error_sets_the_error_and_keeps_the_agents_code() -> None:
    state = fold_all(started(), core.RunErrorEvent(message="no model", code="model_missing"))
    assert state.phase is RunPhase.ERROR
    assert state.error == AgentError("no model", agent_code="model_missing")
    again = core.RunErrorEvent(message="no model", code="model_missing")
    assert fold(state, again) is state


def test_an_error_made_here_comes_back_from_its_event() -> None:
    error = TransportError("no answer", "timeout", status=504)
    assert fold(ChatState(), error_event(error)).error == error


def test_run_started_adds_the_messages_of_its_input_that_are_new() -> None:
    given = [
        {"id": "u1", "role": "user", "content": "changed"},
        {"id": "s1", "role": "system", "content": "Be brief."},
    ]
    event = started(input={"threadId": "t", "runId": "r", "messages": given})
    state = fold(ChatState(messages=(HELLO,)), event)
    assert state.messages == (HELLO, Message("s1", "system", "Be brief."))
    assert fold(state, event) is state


def test_a_messages_snapshot_replaces_messages_by_id_and_keeps_local_reasoning() -> None:
    thought = Message(
        "a1", "assistant", "old", timestamp=A_MOMENT, reasoning="hm", interrupted=True
    )
    gone = Message("x", "user", "gone")
    state = fold(
        ChatState(messages=(gone, thought)),
        snapshot(
            {"id": "u1", "role": "user", "content": "hello"},
            {"id": "a1", "role": "assistant", "content": "new"},
        ),
    )
    assert state.messages == (HELLO, replace(thought, content="new", interrupted=False))


def test_a_messages_snapshot_with_reasoning_replaces_local_reasoning() -> None:
    state = fold(
        ChatState(messages=(Message("a1", "assistant", "x", reasoning="old"),)),
        snapshot(
            {"id": "r1", "role": "reasoning", "content": "new"},
            {"id": "a1", "role": "assistant", "content": "x"},
        ),
    )
    assert [message.reasoning for message in state.messages] == ["new"]


def test_a_messages_snapshot_keeps_local_activity_in_its_place_unless_it_has_some() -> None:
    activity = Message("act", "activity", "{}", name="plan")
    before = ChatState(messages=(HELLO, activity, Message("a1", "assistant", "old")))
    wire = [
        {"id": "u1", "role": "user", "content": "hello"},
        {"id": "a1", "role": "assistant", "content": "new"},
    ]
    assert [m.id for m in fold(before, snapshot(*wire)).messages] == ["u1", "act", "a1"]
    own = {"id": "act2", "role": "activity", "activityType": "plan", "content": {}}
    assert [m.id for m in fold(before, snapshot(*wire, own)).messages] == ["u1", "a1", "act2"]


def test_a_messages_snapshot_of_an_open_message_is_extended_by_later_deltas() -> None:
    state = fold_all(
        start(), content("wrong"), snapshot({"id": "a1", "role": "assistant", "content": "Hel"})
    )
    assert state.messages == ()
    done = fold_all(content("lo"), end(), over=state)
    assert [(message.id, message.content) for message in done.messages] == [("a1", "Hello")]


def test_a_messages_snapshot_without_news_changes_nothing() -> None:
    state = ChatState(messages=(HELLO,))
    assert fold(state, snapshot({"id": "u1", "role": "user", "content": "hello"})) is state


def _is_same(one: ChatState, other: ChatState) -> bool:
    """Compare more strictly than ==, for which 1 and true are equal."""
    return one == other and encode_state(one) == encode_state(other)


@settings(max_examples=400)
@given(states | st.just(ChatState()), st.lists(events, max_size=15))
def test_the_fold_never_raises_and_never_changes_its_argument(
    state: ChatState, given: list[Event]
) -> None:
    for event in given:
        copy, text = replace(state), encode_state(state)
        after = fold(state, event)
        assert state == copy and encode_state(state) == text
        assert after == fold(state, event)
        assert (after is state) == _is_same(after, state)
        state = after


@given(st.lists(events, max_size=15))
def test_a_folded_state_can_be_saved_and_loaded(given: list[Event]) -> None:
    state = fold_all(*given)
    text = encode_state(state)
    loaded = decode_state(json.loads(text))
    assert encode_state(loaded) == text
    assert loaded.messages == state.messages
    assert loaded.pending_messages == state.pending_messages
    assert loaded.pending_tool_calls == state.pending_tool_calls


@given(st.lists(events, max_size=15))
def test_a_folded_state_is_sent_without_unanswered_calls(given: list[Event]) -> None:
    state = fold_all(*given)
    asked: list[str] = []
    for message in to_ag_ui(state.messages, state.reasoning_echo):
        if isinstance(message, core.AssistantMessage):
            asked += [call.id for call in message.tool_calls or ()]
        elif isinstance(message, core.ToolMessage):
            asked.remove(message.tool_call_id)
    assert asked == []


@given(st.lists(events, max_size=15))
def test_messages_of_a_thread_have_their_own_ids(given: list[Event]) -> None:
    state = fold_all(*given)
    ids = [message.id for message in state.messages + state.pending_messages]
    assert len(ids) == len(set(ids))


@given(st.lists(events, max_size=15))
def test_the_end_of_a_run_leaves_only_calls_that_can_be_answered(given: list[Event]) -> None:
    done = fold(fold_all(*given), finished())
    assert done.open_messages == ()
    assert done.pending_tool_calls == calls_to_answer(done)
