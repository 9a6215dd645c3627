"""A snapshot of the messages keeps the fields that only the local messages have."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from ag_ui import core
from ag_ui.core import BaseEvent

from koel_tui.protocol import ChatState, Message, OpenMessage, ProtocolError, RunPhase, fold
from koel_tui.protocol.state import Thought
from tests.protocol.build import HELLO, content, encrypted, end, fold_all, snapshot, start, thought
from tests.protocol.strategies import A_MOMENT, LATER

ANSWER = {"id": "a1", "role": "assistant", "content": "new"}


def over(local: Message, *given: Mapping[str, object]) -> Message:
    """Return a local message after a snapshot has been applied to it."""
    state = fold(ChatState(messages=(local,)), snapshot(*given))
    assert state.error is None
    return state.messages[-1]


def test_a_snapshot_keeps_the_fields_that_only_the_local_message_has() -> None:
    local = Message(
        "a1",
        "assistant",
        "new",
        timestamp=LATER,
        reasoning="Hm.",
        reasoning_ids=("r1",),
        interrupted=True,
        attachments=({"type": "image"},),
        usage={"output_tokens": 1},
        extra={"mine": 1, "both": 1},
    )
    assert over(local, ANSWER) == local
    assert over(local, {**ANSWER, "both": 2}).extra == {"mine": 1, "both": 2}


def test_a_snapshot_keeps_why_an_answer_ended_only_where_it_has_the_same_text() -> None:
    local = Message("a1", "assistant", "new", finish_reason="length")
    assert over(local, ANSWER).is_continuable
    assert over(local, {**ANSWER, "content": "new and complete"}).finish_reason is None


def test_a_snapshot_gives_a_time_where_there_is_none() -> None:
    assert over(Message("a1", "assistant", "new"), ANSWER).timestamp == A_MOMENT
    assert over(Message("other", "user"), ANSWER).timestamp == A_MOMENT


def test_a_snapshot_with_reasoning_assigns_it_to_its_message() -> None:
    local = Message("a1", "assistant", "new", reasoning="old", reasoning_ids=("r0",))
    reported = over(local, {"id": "r1", "role": "reasoning", "content": "Told."}, ANSWER)
    assert (reported.reasoning, reported.reasoning_ids) == ("Told.", ("r1",))


def test_a_snapshot_with_parts_replaces_those_there_are() -> None:
    image = {"type": "image", "source": {"type": "url", "value": "https://e.org/new"}}
    local = Message("u1", "user", "look", attachments=({"type": "old"},))
    parts = [{"type": "text", "text": "look"}, image]
    reported = over(local, {"id": "u1", "role": "user", "content": parts})
    assert [each["source"]["value"] for each in reported.attachments] == ["https://e.org/new"]


def test_a_snapshot_keeps_each_activity_after_its_message() -> None:
    plan, more, late = (Message(name, "activity", "{}") for name in ("p1", "p2", "p3"))
    local = (plan, HELLO, Message("a1", "assistant"), more, late, Message("gone", "user"))
    wire = [
        {"id": "s1", "role": "system", "content": ""},
        {"id": "u1", "role": "user", "content": "hello"},
        ANSWER,
        {"id": "u2", "role": "user", "content": "and?"},
    ]
    state = fold(ChatState(messages=local), snapshot(*wire))
    assert [each.id for each in state.messages] == ["p1", "s1", "u1", "a1", "p2", "p3", "u2"]
    assert fold(state, snapshot(*wire)) is state


def test_a_snapshot_of_a_message_being_written_replaces_its_text() -> None:
    said = Message("a1", "assistant", "wrong", usage={"output_tokens": 1})
    opened = OpenMessage.of(replace(said, interrupted=True, finish_reason="length"))
    state = fold(ChatState(open_messages=(opened,)), snapshot(ANSWER))
    assert state.messages == ()
    expected = Message("a1", "assistant", "new", usage={"output_tokens": 1})
    assert state.pending_messages == (expected,)
    empty = fold(ChatState(open_messages=(opened,)), snapshot({**ANSWER, "content": ""}))
    assert empty.pending_messages == (replace(expected, content=""),)
    (message,) = fold_all(content("er"), end(), over=state).messages
    assert message == replace(expected, content="newer", timestamp=A_MOMENT)


def test_a_snapshot_replaces_only_its_own_part_of_open_reasoning() -> None:
    state = fold_all(*thought("1", "r1"), *thought("2", "r2"), *thought("3", "r3")[:3])
    reported = {"id": "r1", "role": "reasoning", "content": "1"}
    after = fold(state, snapshot(reported, ANSWER))
    (opened,) = after.open_messages
    assert [(each.id, str(each.text), each.is_open) for each in opened.thoughts] == [
        ("r2", "2", False),
        ("r3", "3", True),
    ]
    begun = fold(state, snapshot({**reported, "id": "r3", "content": "3"}, ANSWER))
    assert begun.open_messages[0].thoughts[-1] == Thought("r3")
    assert str(begun.open_messages[0].thoughts[-1].text) == ""


def test_a_snapshot_adds_encrypted_reasoning_to_the_existing_values() -> None:
    reported = {"id": "r1", "role": "reasoning", "content": "", "encryptedValue": "QQ=="}
    state = fold_all(encrypted("e1", "Qg==", "tool-call"), snapshot(reported, ANSWER))
    assert state.reasoning_echo == {"e1": b"B", "r1": b"A"}


def odd(kind: str) -> BaseEvent:
    """Return a messages event with a value that JSON cannot represent."""
    message = core.UserMessage.model_validate(
        {"id": "u9", "role": "user", "content": "x", "odd": float("nan")}
    )
    if kind == "MESSAGES_SNAPSHOT":
        return core.MessagesSnapshotEvent(messages=[message])
    asked = core.RunAgentInput(
        thread_id="t", run_id="r", messages=[message], state={}, tools=[], context=[],
        forwarded_props={},
    )  # fmt: skip
    return core.RunStartedEvent(thread_id="t", run_id="r", input=asked)


@pytest.mark.parametrize("kind", ["MESSAGES_SNAPSHOT", "RUN_STARTED"])
def test_messages_that_json_cannot_hold_are_an_error(kind: str) -> None:
    before = fold_all(start(), content("x"), over=ChatState(messages=(HELLO,)))
    after = fold(before, odd(kind))
    assert isinstance(after.error, ProtocolError)
    assert after.error.event_type == kind
    assert isinstance(after.error.cause, ValueError)
    assert after.error.message == (
        f"The agent sent a {kind} event that cannot be used: {after.error.cause}. It was ignored."
    )
    assert replace(after, error=None) == replace(before, phase=RunPhase.ERROR)
