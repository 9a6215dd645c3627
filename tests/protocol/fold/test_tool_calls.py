from dataclasses import replace

import pytest
from ag_ui import core
from ag_ui.core import BaseEvent

from koel_tui.protocol import (
    ChatState,
    Event,
    Message,
    ProtocolError,
    RunPhase,
    ToolCall,
    calls_to_answer,
    fold,
    to_ag_ui,
)
from tests.protocol.build import (
    HELLO,
    call,
    call_args,
    call_end,
    call_start,
    content,
    end,
    finished,
    fold_all,
    result,
    snapshot,
    start,
    started,
    text,
    thought,
)
from tests.protocol.strategies import A_MOMENT


def shape(state: ChatState) -> list[tuple[str, list[str]]]:
    return [(message.id, [each.id for each in message.tool_calls]) for message in state.messages]


def test_session_case_04_arguments_are_joined_and_an_unknown_id_changes_nothing() -> None:
    state = fold_all(call_start(), call_args('{"q":'), call_args('"x"}'))
    assert [each.arguments for each in state.pending_tool_calls] == ['{"q":"x"}']
    for event in (call_args("x", "nobody"), call_end("nobody"), result("nobody"), call_args("")):
        assert fold(state, event) is state


def test_session_case_05_a_result_removes_its_call_from_the_pending() -> None:
    state = fold_all(*call("tc1"), *call("tc2"))
    assert [each.id for each in state.pending_tool_calls] == ["tc1", "tc2"]
    assert [each.id for each in fold(state, result("tc1")).pending_tool_calls] == ["tc2"]


def test_session_case_05_holds_for_calls_of_no_message() -> None:
    state = ChatState(pending_tool_calls=(ToolCall("tc1", "a"), ToolCall("tc2", "b")))
    answered = fold(state, result("tc1"))
    assert answered.pending_tool_calls == (ToolCall("tc2", "b"),)
    assert shape(answered) == [("tc1", ["tc1"]), ("r-tc1", [])]
    made = ToolCall("tc1", "a", parent_message_id="tc1")
    done = fold(state, call_end("tc1"))
    assert done.pending_tool_calls == (made, ToolCall("tc2", "b"))
    assert done.messages == (Message("tc1", "assistant", tool_calls=(made,), timestamp=A_MOMENT),)


def test_a_call_of_a_message_that_is_complete_leaves_those_behind_it() -> None:
    state = fold_all(*text("a"), *text("b", "a2"), *text("c", "a3"), *call(parent="a1"))
    assert shape(state) == [("a1", ["tc1"]), ("a2", []), ("a3", [])]


def test_a_call_is_made_by_its_message_and_answered_behind_it() -> None:
    state = fold_all(*text("Let me look."), *call(), result(), over=ChatState(messages=(HELLO,)))
    made = ToolCall("tc1", "find", "{}", parent_message_id="a1")
    assert state.messages == (
        HELLO,
        Message("a1", "assistant", "Let me look.", timestamp=A_MOMENT, tool_calls=(made,)),
        Message("r-tc1", "tool", "42", timestamp=A_MOMENT, tool_call_id="tc1"),
    )
    assert state.pending_tool_calls == ()


@pytest.mark.parametrize(("parent", "made"), [("a1", "a1"), (None, "tc1")])
def test_a_message_is_made_for_a_call_that_has_none(parent: str | None, made: str) -> None:
    opened = fold_all(call_start(parent=parent), call_args("{"))
    assert opened.messages == ()
    assert [message.id for message in opened.pending_messages] == [made]
    done = fold(opened, call_end())
    assert done.pending_messages == ()
    assert shape(done) == [(made, ["tc1"])]
    assert done.messages[0].timestamp == A_MOMENT


def test_a_repeated_start_changes_nothing() -> None:
    begun = fold_all(call_start(), call_args("{"))
    assert fold(begun, call_start(name="other")) is begun
    done = fold_all(call_args("}"), call_end(), over=begun)
    assert fold(done, call_start()) is done
    answered = fold(done, result())
    assert fold(answered, call_start()) is answered


def test_a_complete_call_no_longer_changes() -> None:
    state = fold_all(*call())
    assert fold(state, call_args("more")) is state
    assert fold(state, call_end()) is state


def test_a_second_result_changes_nothing() -> None:
    state = fold_all(*call(), result())
    assert fold(state, result(said="43", message_id="other")) is state


def test_results_are_in_the_order_of_their_calls() -> None:
    calls = (*call("tc1"), *call("tc2"), *call("tc3"))
    state = fold_all(*calls, *text("later", "a2"), result("tc3"), result("tc1"), result("tc2"))
    assert [message.id for message in state.messages] == ["a1", "r-tc1", "r-tc2", "r-tc3", "a2"]


def test_results_are_in_the_order_of_calls_still_being_written() -> None:
    state = fold_all(start(), *call("tc1"), *call("tc2"), result("tc2"), result("tc1"))
    assert [message.id for message in state.messages] == ["r-tc1", "r-tc2"]
    assert [message.id for message in fold(state, end()).messages] == ["a1", "r-tc1", "r-tc2"]


@pytest.mark.parametrize("of", [None, "nobody"])
def test_a_result_follows_results_without_a_call(of: str | None) -> None:
    made = fold_all(*call("tc1"))
    stray = Message("stray", "tool", "?", tool_call_id=of)
    state = fold(replace(made, messages=(*made.messages, stray)), result("tc1"))
    assert [message.id for message in state.messages] == ["a1", "stray", "r-tc1"]


def test_calls_of_two_messages_are_answered_behind_each() -> None:
    state = fold_all(*call("tc1", None), *call("tc2", None), result("tc2"), result("tc1"))
    assert [message.id for message in state.messages] == ["tc1", "r-tc1", "tc2", "r-tc2"]


def test_a_call_made_while_its_message_is_written_stays_with_it() -> None:
    state = fold_all(start(), content("a"), *call(), result(), content("b"), *text("c", "a2"))
    assert [message.content for message in state.pending_messages] == ["ab"]
    done = fold(state, end())
    assert [message.id for message in done.messages] == ["a1", "r-tc1", "a2"]
    assert shape(done)[0] == ("a1", ["tc1"])


def test_a_message_cut_off_after_the_result_of_its_call_precedes_the_result() -> None:
    state = fold_all(started(), start(), content("a"), *call(), result(), finished("cancelled"))
    assert [message.id for message in state.messages] == ["a1", "r-tc1"]


def test_text_that_follows_a_call_being_made_joins_its_message() -> None:
    state = fold_all(call_start(), start(), content("hm"), call_end(), end())
    assert [(m.content, len(m.tool_calls)) for m in state.messages] == [("hm", 1)]


def test_text_of_a_message_that_only_calls_changes_nothing() -> None:
    state = fold_all(call_start())
    assert fold(state, content("x")) is state
    assert fold(state, end()) is state


def test_a_call_never_lands_on_a_message_of_an_earlier_turn() -> None:
    state = fold_all(*text("old"), over=ChatState(messages=(HELLO,)))
    asked = replace(state, messages=(*state.messages, Message("u2", "user", "again")))
    assert shape(fold_all(*call(), over=asked))[1:] == [("a1", []), ("u2", []), ("a1-2", ["tc1"])]


def test_a_call_is_never_made_by_the_users_message() -> None:
    state = fold_all(start("a1", role="user"), *call(), end("a1"))
    assert [(m.role, len(m.tool_calls)) for m in state.messages] == [("assistant", 1), ("user", 0)]


def test_a_call_without_a_message_takes_the_reasoning_before_it() -> None:
    state = fold_all(*thought("Hm."), call_start(parent=None), start(), call_end(), end())
    assert [(m.id, m.reasoning) for m in state.messages] == [("tc1", "Hm."), ("a1", "")]


def test_an_id_of_a_call_used_again_is_another_call() -> None:
    first = fold_all(*call(parent="a1"), result(), *text("done", "a2"))
    asked = replace(first, messages=(*first.messages, Message("u2", "user", "again")))
    state = fold_all(started(), *call(parent="a3"), result(said="43"), over=asked)
    tail = [(message.id, message.content) for message in state.messages[-2:]]
    assert tail == [("a3", ""), ("r-tc1-2", "43")]


def test_a_result_before_the_end_of_its_call_completes_it() -> None:
    state = fold_all(call_start(), call_args("{}"), result())
    assert shape(state) == [("a1", ["tc1"]), ("r-tc1", [])]
    assert state.messages[0].timestamp == A_MOMENT
    assert fold(state, call_end()) is state


def test_a_result_of_a_call_of_an_earlier_run_finds_its_message() -> None:
    state = fold_all(*call(), finished(), *text("later", "a2"), started(), result())
    assert [message.id for message in state.messages] == ["a1", "r-tc1", "a2"]


def test_a_result_of_parts_keeps_them_all() -> None:
    source = {"type": "url", "value": "https://e.org/i", "mimeType": "image/png"}
    image = {"type": "image", "source": source}
    event = core.ToolCallResultEvent.model_validate(
        {
            "tool_call_id": "tc1",
            "message_id": "r",
            "content": [{"type": "text", "text": "Look: "}, image],
        }
    )
    message = fold_all(*call(), event).messages[-1]
    assert (message.content, message.attachments) == ("Look: ", (image,))


def test_a_result_that_json_cannot_hold_is_an_error() -> None:
    odd = core.TextPart.model_validate({"type": "text", "text": "x", "odd": float("nan")})
    event = core.ToolCallResultEvent(tool_call_id="tc1", message_id="r", content=[odd])
    state = fold_all(*call(), event)
    assert isinstance(state.error, ProtocolError) and isinstance(state.error.cause, ValueError)
    assert (state.phase, len(state.messages)) == (RunPhase.ERROR, 1)


def test_a_finished_run_leaves_its_complete_calls_to_be_answered() -> None:
    state = fold_all(started(), *call("tc1"), call_start("tc2"), call_args("{"), finished())
    assert [each.id for each in calls_to_answer(state)] == ["tc1"]
    assert state.pending_tool_calls == calls_to_answer(state)
    assert shape(state) == [("a1", ["tc1"])]
    assert calls_to_answer(fold(state, result())) == ()


def test_an_incomplete_call_is_not_answered() -> None:
    assert calls_to_answer(fold_all(call_start())) == ()


@pytest.mark.parametrize("last", [core.RunErrorEvent(message="x"), finished("cancelled")])
def test_a_run_that_fails_leaves_nothing_pending(last: BaseEvent) -> None:
    state = fold_all(started(), *call("tc1"), call_start("tc2", "a2"), last)
    assert state.pending_tool_calls == ()
    assert shape(state) == [("a1", ["tc1"])]
    assert to_ag_ui(state.messages) == []


def test_answered_calls_are_sent_again_with_their_results() -> None:
    state = fold_all(*call("tc1"), *call("tc2"), result("tc2"))
    sent = to_ag_ui(state.messages)
    assert isinstance(sent[0], core.AssistantMessage)
    assert [each.id for each in sent[0].tool_calls or ()] == ["tc2"]
    assert isinstance(sent[1], core.ToolMessage)
    assert sent[1].tool_call_id == "tc2"


def test_a_tool_result_without_a_call_is_not_sent() -> None:
    orphan = Message("r", "tool", "42", tool_call_id="tc1")
    call_ = ToolCall("tc1", "find", "{}")
    late = Message("a", "assistant", "x", tool_calls=(call_,))
    assert [type(each) for each in to_ag_ui([orphan, late])] == [core.AssistantMessage]
    twice = to_ag_ui([late, orphan, replace(orphan, id="r2")])
    assert [each.id for each in twice] == ["a", "r"]


def test_an_answer_is_to_the_newest_call_of_its_id() -> None:
    call_ = ToolCall("tc1", "find", "{}")
    old, new = (Message(name, "assistant", "x", tool_calls=(call_, call_)) for name in "ab")
    sent = to_ag_ui([old, new, Message("r", "tool", "42", tool_call_id="tc1")])
    calls = [len(each.tool_calls or ()) for each in sent if isinstance(each, core.AssistantMessage)]
    assert calls == [0, 1]


def test_a_snapshot_with_a_result_answers_its_call() -> None:
    wire: list[dict[str, object]] = [
        {
            "id": "a1",
            "role": "assistant",
            "toolCalls": [
                {
                    "id": "tc1",
                    "type": "function",
                    "function": {"name": "find", "arguments": "{}"},
                }
            ],
        },
        {"id": "r", "role": "tool", "toolCallId": "tc1", "content": "42"},
    ]
    state = fold_all(*call())
    same = fold(state, snapshot(wire[0]))
    assert same is state
    assert fold(state, snapshot(*wire)).pending_tool_calls == ()
    asked_again = fold(state, snapshot(*wire, {**wire[0], "id": "a2"}))
    assert asked_again.pending_tool_calls == state.pending_tool_calls


def test_a_call_whose_message_a_snapshot_dropped_gets_another() -> None:
    state = fold_all(*text("x"), call_start(), snapshot())
    assert shape(fold(state, call_end())) == [("a1", ["tc1"])]


def test_tool_events_over_nothing_change_nothing() -> None:
    state = ChatState()
    events: list[Event] = [call_args("x"), call_end(), result()]
    for event in events:
        assert fold(state, event) is state
