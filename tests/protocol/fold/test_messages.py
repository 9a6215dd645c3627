import json
from dataclasses import replace
from typing import Any

import pytest
from ag_ui import core
from ag_ui.core import BaseEvent

from koel_tui.protocol import ChatState, Message, ProtocolError, RunPhase, fold
from tests.protocol.build import A_STAMP, HELLO, fold_all, start
from tests.protocol.strategies import A_MOMENT


def activity(content: dict[str, Any], message_id: str = "p1", **fields: object) -> BaseEvent:
    return core.ActivitySnapshotEvent.model_validate(
        {
            "message_id": message_id,
            "activity_type": "plan",
            "content": content,
            "timestamp": A_STAMP,
            **fields,
        }
    )


def patch(*operations: dict[str, Any], message_id: str = "p1", kind: str = "plan") -> BaseEvent:
    return core.ActivityDeltaEvent.model_validate(
        {"message_id": message_id, "activity_type": kind, "patch": operations}
    )


def test_an_activity_becomes_a_message() -> None:
    state = fold(ChatState(messages=(HELLO,)), activity({"steps": [1]}))
    expected = Message(
        "p1",
        "activity",
        '{"steps": [1]}',
        timestamp=A_MOMENT,
        extra={"activityType": "plan"},
    )
    assert state.messages == (HELLO, expected)


def test_an_activity_is_replaced_in_place_unless_replace_is_false() -> None:
    state = fold_all(activity({"a": 1}), activity({"b": 1}, "p2"))
    for wanted in (None, True):
        after = fold(state, activity({"a": 2}, replace=wanted, timestamp=0))
        assert [message.content for message in after.messages] == ['{"a": 2}', '{"b": 1}']
        assert after.messages[0].timestamp == A_MOMENT
    assert fold(state, activity({"a": 2}, replace=False)) is state
    assert fold(state, activity({"a": 1})) is state
    assert len(fold(state, activity({}, "p3", replace=False)).messages) == 3
    last = fold(state, activity({"b": 2}, "p2"))
    assert [message.content for message in last.messages] == ['{"a": 1}', '{"b": 2}']


def test_an_activity_does_not_replace_another_kind_of_message() -> None:
    state = fold_all(start(), over=ChatState(messages=(HELLO,)))
    assert fold(state, activity({}, "u1")) is state
    assert fold(state, activity({}, "a1")) is state


def test_an_activity_is_patched() -> None:
    state = fold_all(activity({"steps": [1]}), over=ChatState(messages=(HELLO,)))
    after = fold(state, patch({"op": "add", "path": "/steps/-", "value": 2}, kind="list"))
    assert json.loads(after.messages[1].content) == {"steps": [1, 2]}
    assert after.messages[1].extra == {"activityType": "list"}
    assert fold(state, patch()) is state
    assert fold(state, patch(message_id="nobody")) is state
    assert fold(state, patch(message_id="u1")) is state


@pytest.mark.parametrize("content", ['{"a": 1}', "[1]", "not JSON", "1"])
def test_an_activity_that_cannot_be_patched_is_an_error(content: str) -> None:
    kept = Message("p1", "activity", content)
    before = ChatState(messages=(kept,), phase=RunPhase.RUNNING)
    after = fold(before, patch({"op": "remove", "path": "/missing"}))
    assert isinstance(after.error, ProtocolError)
    assert (after.error.code, after.error.event_type) == ("malformed", "ACTIVITY_DELTA")
    assert isinstance(after.error.cause, ValueError)
    assert replace(after, error=None) == replace(before, phase=RunPhase.ERROR)


@pytest.mark.parametrize("content", ["[]", "[1]", "null"])
def test_any_patch_of_an_activity_that_is_not_an_object_is_an_error(content: str) -> None:
    before = ChatState(messages=(Message("p1", "activity", content),))
    after = fold(before, patch())
    assert isinstance(after.error, ProtocolError)
    assert after.messages == before.messages


def test_an_activity_that_json_cannot_hold_is_an_error() -> None:
    after = fold(ChatState(), activity({"a": float("nan")}))
    assert isinstance(after.error, ProtocolError) and isinstance(after.error.cause, ValueError)
    assert after.messages == ()
