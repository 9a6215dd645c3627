"""Hypothesis strategies for states and events."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ag_ui import core
from ag_ui.core import BaseEvent
from hypothesis import strategies as st

from koel_tui.protocol import (
    ChatState,
    Event,
    Fork,
    Message,
    OpenMessage,
    RunPhase,
    ToolCall,
    UnknownEvent,
)

# Any code point, including lone surrogates: a saved thread may contain output of a broken server.
texts = st.text(st.characters(), max_size=20)
clean_texts = st.text(max_size=20)
ids = st.sampled_from(["m1", "m2", "m3", "u1", ""])
keys = st.text(max_size=8).map(lambda text: f"x-{text}")
_floats = st.floats(allow_nan=False, allow_infinity=False)
leaves: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63), texts, _floats
)
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(texts, values, max_size=2)
extras = st.dictionaries(keys, values, max_size=2)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))

calls = st.builds(ToolCall, texts, texts, texts, st.none() | texts, extra=extras)
messages = st.builds(
    Message,
    id=texts,
    role=st.sampled_from(["user", "assistant", "system", "tool", "activity"]),
    content=texts,
    timestamp=st.none() | times,
    tool_call_id=st.none() | texts,
    name=st.none() | texts,
    reasoning=texts,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    interrupted=st.booleans(),
    attachments=st.just(()) | objects.map(lambda found: (found,)),
    usage=st.none() | objects,
    extra=extras,
    reasoning_ids=st.lists(texts, max_size=2).map(tuple),
    finish_reason=st.none() | texts,
)
_branches = st.lists(messages, min_size=1, max_size=2).map(tuple)
forks = st.builds(
    lambda after, others, shown: Fork(
        after, (*others[:shown], (), *others[shown:]), min(shown, len(others)), {"label": 1}
    ),
    st.none() | texts,
    st.lists(_branches, min_size=1, max_size=2),
    st.integers(0, 2),
)
states = st.builds(
    ChatState,
    messages=st.lists(messages, max_size=3).map(tuple),
    open_messages=st.lists(messages.map(OpenMessage.of), max_size=2).map(tuple),
    pending_tool_calls=st.lists(calls, max_size=2).map(tuple),
    state=objects,
    reasoning_echo=st.dictionaries(texts, st.binary(max_size=8), max_size=2),
    phase=st.sampled_from(RunPhase),
    forks=st.lists(forks, max_size=2, unique_by=lambda fork: fork.after).map(tuple),
    extra=extras,
)

_stamps = st.none() | st.integers(-(2**53) + 1, 2**53 - 1)
_ag_calls = st.builds(
    core.ToolCall,
    id=ids,
    type=st.just("function"),
    function=st.builds(core.FunctionCall, name=clean_texts, arguments=clean_texts),
)
_ag_messages = st.one_of(
    st.builds(core.UserMessage, id=ids, role=st.just("user"), content=clean_texts),
    st.builds(
        core.AssistantMessage,
        id=ids,
        role=st.just("assistant"),
        content=clean_texts,
        tool_calls=st.none() | st.lists(_ag_calls, max_size=2),
    ),
    st.builds(
        core.ToolMessage, id=ids, role=st.just("tool"), content=clean_texts, tool_call_id=ids
    ),
    st.builds(core.DeveloperMessage, id=ids, role=st.just("developer"), content=clean_texts),
    st.builds(
        core.ReasoningMessage,
        id=ids,
        role=st.just("reasoning"),
        content=clean_texts,
        encrypted_value=st.none() | clean_texts,
    ),
    st.builds(
        core.ActivityMessage,
        id=ids,
        role=st.just("activity"),
        activity_type=clean_texts,
        content=st.dictionaries(clean_texts, st.integers(), max_size=2),
    ),
)
_outcomes = st.one_of(
    st.none(),
    st.builds(core.RunFinishedCancelledOutcome, type=st.just("cancelled")),
    st.builds(core.RunFinishedSuccessOutcome, type=st.just("success")),
)
_inputs = st.none() | st.builds(
    core.RunAgentInput,
    thread_id=ids,
    run_id=ids,
    messages=st.lists(_ag_messages, max_size=3),
)
_runs = {"thread_id": ids, "run_id": ids, "timestamp": _stamps}
_texts = {"message_id": ids, "timestamp": _stamps}
_awkward: st.SearchStrategy[Any] = st.sampled_from(
    [None, [], {"a": float("nan")}, {"a": object()}, {1: (2,)}]
)

_paths = st.sampled_from(["", "/a", "/b", "/a/0", "/a/-", "/a/1", "/a/b", "/missing/x"])
_patches = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "replace", "test"]), "path": _paths},
        optional={"value": values | _awkward},
    ).map(lambda operation: {"value": None, **operation})
    | st.fixed_dictionaries({"op": st.just("remove"), "path": _paths})
    | st.fixed_dictionaries(
        {"op": st.sampled_from(["move", "copy"]), "path": _paths, "from": _paths}
    ),
    max_size=3,
)
_calls = {"tool_call_id": ids, "timestamp": _stamps}
_activities = {"message_id": ids, "activity_type": clean_texts, "timestamp": _stamps}
_parts = st.builds(core.TextPart, type=st.just("text"), text=clean_texts)
_kept: st.SearchStrategy[Any] = st.sampled_from([None, True, False])

known_events: st.SearchStrategy[BaseEvent] = st.one_of(
    st.builds(core.RunStartedEvent, input=_inputs, **_runs),
    st.builds(core.RunFinishedEvent, outcome=_outcomes, **_runs),
    st.builds(core.RunErrorEvent, message=clean_texts, code=st.none() | clean_texts),
    st.builds(core.StepStartedEvent, step_name=ids),
    st.builds(core.StepFinishedEvent, step_name=ids),
    st.builds(
        core.TextMessageStartEvent,
        role=st.sampled_from([None, "developer", "system", "assistant", "user"]),
        **_texts,
    ),
    st.builds(core.TextMessageContentEvent, delta=clean_texts, **_texts),
    st.builds(core.TextMessageEndEvent, **_texts),
    st.builds(core.TextMessageChunkEvent, delta=clean_texts, **_texts),
    st.builds(
        core.ToolCallStartEvent,
        tool_call_name=clean_texts,
        parent_message_id=st.none() | ids,
        **_calls,
    ),
    st.builds(core.ToolCallArgsEvent, delta=clean_texts, **_calls),
    st.builds(core.ToolCallEndEvent, **_calls),
    st.builds(core.ToolCallChunkEvent, **_calls),
    st.builds(
        core.ToolCallResultEvent,
        message_id=ids,
        content=clean_texts | st.lists(_parts, max_size=2),
        **_calls,
    ),
    st.builds(core.StateSnapshotEvent, snapshot=values | _awkward),
    st.builds(core.StateDeltaEvent, delta=_patches),
    st.builds(core.MessagesSnapshotEvent, messages=st.lists(_ag_messages, max_size=4)),
    st.builds(
        core.ActivitySnapshotEvent,
        content=st.dictionaries(clean_texts, values | _awkward, max_size=2),
        replace=_kept,
        **_activities,
    ),
    st.builds(core.ActivityDeltaEvent, patch=_patches, **_activities),
    st.builds(core.RawEvent, event=values),
    st.builds(core.CustomEvent, name=clean_texts, value=values),
    st.builds(core.ReasoningStartEvent, message_id=ids),
    st.builds(core.ReasoningMessageStartEvent, role=st.just("reasoning"), **_texts),
    st.builds(core.ReasoningMessageContentEvent, delta=clean_texts, **_texts),
    st.builds(core.ReasoningMessageEndEvent, **_texts),
    st.builds(core.ReasoningMessageChunkEvent, delta=clean_texts, **_texts),
    st.builds(core.ReasoningEndEvent, message_id=ids),
    st.builds(
        core.ReasoningEncryptedValueEvent,
        subtype=st.sampled_from(["message", "tool-call"]),
        entity_id=ids,
        encrypted_value=clean_texts | st.sampled_from(["AQID", "AQ==", "/3RleHQ6"]),
    ),
    st.builds(core.SubagentStartedEvent, subagent_run_id=ids, name=clean_texts),
    st.builds(core.SubagentFinishedEvent, subagent_run_id=ids),
    st.builds(core.SubagentErrorEvent, subagent_run_id=ids, message=clean_texts),
)
events: st.SearchStrategy[Event] = known_events | st.builds(UnknownEvent, clean_texts, values)
A_MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = A_MOMENT + timedelta(seconds=1)
