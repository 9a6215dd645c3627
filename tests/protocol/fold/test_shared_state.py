import json
from dataclasses import replace
from typing import Any

import pytest
from ag_ui import core
from ag_ui.core import BaseEvent

from koel_tui.protocol import ChatState, ProtocolError, RunPhase, fold
from tests.protocol.build import HELLO

Patch = list[dict[str, Any]]


def delta(*operations: dict[str, Any]) -> BaseEvent:
    return core.StateDeltaEvent.model_validate({"delta": operations})


def assert_refused(before: ChatState, event: BaseEvent) -> None:
    text = json.dumps(before.state)
    after = fold(before, event)
    assert isinstance(after.error, ProtocolError)
    assert (after.error.code, after.error.event_type) == ("malformed", event.type.value)
    assert isinstance(after.error.cause, ValueError)
    assert str(after.error.cause) in after.error.message
    assert replace(after, error=None) == replace(before, phase=RunPhase.ERROR)
    assert json.dumps(before.state) == json.dumps(after.state) == text


def test_session_case_07_a_patch_replaces_and_one_that_fails_is_an_error() -> None:
    state = ChatState(messages=(HELLO,), state={"count": 1}, phase=RunPhase.RUNNING)
    after = fold(state, delta({"op": "replace", "path": "/count", "value": 2}))
    assert after == replace(state, state={"count": 2})
    assert_refused(after, delta({"op": "remove", "path": "/missing"}))


def test_session_case_08_a_patch_that_fails_is_not_applied_in_part() -> None:
    state = ChatState(state={"a": 1, "list": [1]})
    before = json.dumps(state.state)
    event = delta(
        {"op": "add", "path": "/list/-", "value": 2},
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/a", "value": 2},
    )
    assert_refused(state, event)
    assert json.dumps(state.state) == before


FINE: list[tuple[Any, Patch, Any]] = [
    ([1], [{"op": "add", "path": "/x/-", "value": 2}], [1, 2]),
    ([1], [{"op": "add", "path": "/x/1", "value": 2}], [1, 2]),
    ([1], [{"op": "add", "path": "/x/0", "value": 2}], [2, 1]),
    ([], [{"op": "add", "path": "/x/0", "value": None}], [None]),
    ([1, 2], [{"op": "move", "from": "/x/0", "path": "/x/1"}], [2, 1]),
    ([1], [{"op": "copy", "from": "/x/0", "path": "/x/-"}], [1, 1]),
    ({"a": 1}, [{"op": "replace", "path": "/x", "value": None}], None),
    ({"a": [1]}, [{"op": "move", "from": "/x/a", "path": "/x"}], [1]),
    ({"a/b": {"~": 1}}, [{"op": "remove", "path": "/x/a~1b/~0"}], {"a/b": {}}),
    ({"": 1}, [{"op": "replace", "path": "/x/", "value": 2}], {"": 2}),
    ({"-": 1, "0": 2}, [{"op": "remove", "path": "/x/-"}], {"0": 2}),
    ("a", [{"op": "test", "path": "/x", "value": "a"}, {"op": "add", "path": "/x", "value": 1}], 1),
    (1, [{"op": "replace", "path": "", "value": {"x": 2}}], 2),
]


@pytest.mark.parametrize(("value", "patch", "expected"), FINE)
def test_session_case_09_valid_edge_cases_of_a_patch_are_applied(
    value: Any, patch: Patch, expected: Any
) -> None:
    state = ChatState(state={"x": value})
    assert fold(state, delta(*patch)) == ChatState(state={"x": expected})


REFUSED: list[tuple[Any, Patch]] = [
    ([1], [{"op": "add", "path": "/x/2", "value": 2}]),
    ([1], [{"op": "add", "path": "/x/01", "value": 2}]),
    ([1], [{"op": "add", "path": "/x/-1", "value": 2}]),
    ([1], [{"op": "add", "path": "/x/a", "value": 2}]),
    ([1], [{"op": "remove", "path": "/x/-"}]),
    ([1], [{"op": "remove", "path": "/x/1"}]),
    ([1], [{"op": "replace", "path": "/x/-", "value": 2}]),
    ([1], [{"op": "test", "path": "/x/-", "value": 1}]),
    ([1], [{"op": "copy", "from": "/x/-", "path": "/y"}]),
    ([1], [{"op": "move", "from": "/x/1", "path": "/y"}]),
    ({"a": {}}, [{"op": "move", "from": "/x", "path": "/x/a"}]),
    ({"a": {}}, [{"op": "move", "from": "", "path": "/x"}]),
    ({"a": 1}, [{"op": "test", "path": "/x/a", "value": 2}]),
    ({"a": 1}, [{"op": "test", "path": "/x/a", "value": True}]),
    ({"a": 1}, [{"op": "test", "path": "/x/b", "value": None}]),
    ({"a": 1}, [{"op": "add", "path": "/x/b/c", "value": 1}]),
    ({"a": 1}, [{"op": "add", "path": "/x/a/b", "value": 1}]),
    ("abc", [{"op": "replace", "path": "/x/0", "value": "z"}]),
    (1, [{"op": "remove", "path": ""}]),
    (1, [{"op": "replace", "path": "", "value": [1]}]),
    (1, [{"op": "add", "path": "/x", "value": float("nan")}]),
    (1, [{"op": "add", "path": "/x", "value": object()}]),
]


@pytest.mark.parametrize(("value", "patch"), REFUSED)
def test_session_case_09_invalid_edge_cases_of_a_patch_are_refused(
    value: Any, patch: Patch
) -> None:
    assert_refused(ChatState(state={"x": value}, phase=RunPhase.RUNNING), delta(*patch))


@pytest.mark.parametrize(
    "patch",
    [
        [],
        [{"op": "test", "path": "/x", "value": 1}],
        [{"op": "replace", "path": "/x", "value": 1}],
        [{"op": "add", "path": "/y", "value": 1}, {"op": "remove", "path": "/y"}],
    ],
)
def test_a_patch_that_changes_nothing_returns_the_identical_object(patch: Patch) -> None:
    state = ChatState(state={"x": 1})
    assert fold(state, delta(*patch)) is state


def test_one_and_true_are_not_the_same() -> None:
    state = ChatState(state={"x": 1})
    assert fold(state, delta({"op": "replace", "path": "/x", "value": True})).state["x"] is True
    assert fold(state, core.StateSnapshotEvent(snapshot={"x": True})).state["x"] is True


def test_a_repeated_patch_failure_changes_nothing() -> None:
    event = delta({"op": "remove", "path": "/missing"})
    failed = fold(ChatState(), event)
    assert fold(failed, event) is failed


def test_a_patch_shares_nothing_with_the_state_it_makes() -> None:
    value: dict[str, Any] = {"deep": [1]}
    event = delta(
        {"op": "add", "path": "/x", "value": value}, {"op": "copy", "from": "/x", "path": "/y"}
    )
    state = fold(ChatState(), event)
    value["deep"].append(2)
    assert state.state == {"x": {"deep": [1]}, "y": {"deep": [1]}}
    assert state.state["x"]["deep"] is not state.state["y"]["deep"]
