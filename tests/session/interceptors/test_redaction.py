"""Redaction: no matching text reaches the state, the storage or a reader of events."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ag_ui.core import (
    ActivityDeltaEvent,
    ActivitySnapshotEvent,
    BaseEvent,
    CustomEvent,
    Event,
    MessagesSnapshotEvent,
    RawEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    RunAgentInput,
    RunErrorEvent,
    RunStartedEvent,
    StateDeltaEvent,
    StateSnapshotEvent,
)
from pydantic import TypeAdapter

from koel_tui.agents import METRICS
from koel_tui.protocol import ChatState, KoelError, Message, UnknownEvent
from koel_tui.session import KoelClient, Redact, keep_usage, tool_handler
from koel_tui.session.interceptors.masked_values import mask_json
from koel_tui.storage import MemoryStorage
from tests.session.helpers import (
    Answer,
    ScriptedAgent,
    begin,
    content,
    end,
    fail,
    finish,
    say,
    start,
)
from tests.session.test_tools import calling

WORD = "sekrit"
_events: TypeAdapter[BaseEvent] = TypeAdapter(Event)


def sending(*events: Any) -> Answer:
    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        for event in events:
            yield event
        yield finish(run)

    return answer


async def saved_text(*answers: Answer, tools: Any = ()) -> str:
    """Return the stored data and the events of one send, as text."""
    storage = MemoryStorage()
    client = KoelClient(
        ScriptedAgent(*answers),
        storage,
        interceptors=[Redact([WORD])],
        reducers=[keep_usage],
    )
    session = client.new_session("t")
    events = session.events()
    await session.send("go", tools=tools)
    await session.persist()
    await client.dispose()
    seen = [event async for event in events]
    return f"{storage._threads['t']} {seen!r}"


async def test_b9_results_of_tools_run_here_are_redacted() -> None:
    async def look() -> str:
        """Look."""
        return f"the {WORD} is out"

    text = await saved_text(calling(("t1", "look", "{}")), say("done"), tools=[tool_handler(look)])
    assert WORD not in text
    assert "the [REDACTED] is out" in text


async def test_b9_the_input_in_run_started_is_redacted() -> None:
    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        given = run.model_copy(deep=True)
        given.messages = [_message({"id": "s", "role": "system", "content": f"a {WORD} b"})]
        yield RunStartedEvent(thread_id=run.thread_id, run_id=run.run_id, input=given)
        yield finish(run)

    text = await saved_text(answer)
    assert WORD not in text
    assert "a [REDACTED] b" in text


def _message(wire: dict[str, Any]) -> Any:
    event = {"type": "MESSAGES_SNAPSHOT", "messages": [wire]}
    return _snapshot(event).messages[0]


def _snapshot(wire: dict[str, Any]) -> MessagesSnapshotEvent:
    event = _events.validate_python(wire)
    assert isinstance(event, MessagesSnapshotEvent)
    return event


ASSISTANT = {
    "id": "a",
    "role": "assistant",
    "content": WORD,
    "name": WORD,
    "toolCalls": [
        {
            "id": "t1",
            "type": "function",
            "function": {"name": "look", "arguments": json.dumps({"q": WORD})},
        }
    ],
}
EVENTS: dict[str, Any] = {
    "messages": _snapshot(
        {
            "type": "MESSAGES_SNAPSHOT",
            "messages": [
                ASSISTANT,
                {"id": "t", "role": "tool", "toolCallId": "t1", "content": WORD},
                {"id": "r", "role": "reasoning", "content": WORD},
                {
                    "id": "c",
                    "role": "activity",
                    "activityType": "PLAN",
                    "content": {"steps": [{"name": WORD, WORD: 1}]},
                },
                {"id": "o", "role": "user", "content": "x", "odd": {"name": [WORD]}},
            ],
        }
    ),
    "activity": ActivitySnapshotEvent(
        message_id="p", activity_type="PLAN", content={"id": WORD, "deep": [{WORD: WORD}]}
    ),
    "state": StateSnapshotEvent(snapshot={"name": WORD, WORD: [WORD]}),
    "patch": StateDeltaEvent(delta=[{"op": "add", "path": f"/{WORD}", "value": {"x": WORD}}]),
    "custom": CustomEvent(name=METRICS, value={"model": WORD}),
    "raw": RawEvent(event={"x": WORD}),
    "raw event": CustomEvent(name="x", value=1, raw_event={"y": WORD}),
    "error": RunErrorEvent(message=f"it said {WORD}"),
    "unknown": UnknownEvent("MADE_UP", {"type": "MADE_UP", "words": [WORD]}),
}


@pytest.mark.parametrize("kind", EVENTS)
async def test_b9_no_event_brings_a_secret_into_saved_or_read_text(kind: str) -> None:
    answered = sending(start("m"), content("m", "x"), end("m"), EVENTS[kind])
    text = await saved_text(answered)
    assert WORD not in text
    assert "[REDACTED]" in text


async def test_b9_a_patch_of_an_activity_is_redacted() -> None:
    patch = [{"op": "add", "path": "/note", "value": f"x{WORD}x"}]
    text = await saved_text(
        sending(
            ActivitySnapshotEvent(message_id="p", activity_type="PLAN", content={"a": 1}),
            ActivityDeltaEvent(message_id="p", activity_type="PLAN", patch=patch),
        )
    )
    assert WORD not in text
    assert "x[REDACTED]x" in text


async def test_b9_reasoning_split_across_deltas_is_redacted() -> None:
    thought = [ReasoningMessageContentEvent(message_id="r", delta=piece) for piece in "a sekrit b"]
    text = await saved_text(
        sending(
            ReasoningMessageStartEvent(message_id="r", role="reasoning"),
            *thought,
            ReasoningMessageEndEvent(message_id="r"),
        )
    )
    assert WORD not in text
    assert "a [REDACTED] b" in text


async def test_a_secret_split_by_a_stop_and_a_continuation_is_not_completed() -> None:
    half = ChatState(
        messages=(
            Message("u", "user", "?"),
            Message("a", "assistant", "it is sek", interrupted=True),
        )
    )
    answer = sending(start("a"), content("a", "rit."), end("a"))
    client = KoelClient(ScriptedAgent(answer), interceptors=[Redact([WORD])])
    session = client.new_session("t", half)
    await session.continue_answer()
    assert session.state.messages[-1].content == "it is sek[REDACTED]."
    await client.dispose()


@pytest.mark.parametrize("error", [LookupError(f"no {WORD}"), ConnectionError(f"no {WORD}")])
async def test_the_exception_of_an_agent_is_redacted(error: Exception) -> None:
    client = KoelClient(ScriptedAgent(fail(error, "the sek")), interceptors=[Redact([WORD])])
    session = client.new_session("t")
    events = session.events()
    await session.send("go")
    assert session.state.messages[-1].content == "the sek"
    assert str(session.state.error) == "no [REDACTED]"
    with pytest.raises(KoelError, match=r"no \[REDACTED\]"):
        await client.ask([Message("u", "user", "go")])
    await client.dispose()
    assert WORD not in repr([event async for event in events])


async def test_the_exception_of_an_agent_without_a_match_keeps_its_cause() -> None:
    error = LookupError("gone")
    client = KoelClient(ScriptedAgent(fail(error)), interceptors=[Redact([WORD])])
    session = client.new_session("t")
    await session.send("go")
    assert session.state.error is not None and session.state.error.cause is error
    await client.dispose()


def test_redaction_never_changes_ids_types_and_tool_names() -> None:
    event = EVENTS["messages"]
    mask_text = mask_json(event, lambda text: "X")
    assert [message.id for message in mask_text.messages] == ["a", "t", "r", "c", "o"]
    assert mask_text.messages[0].role == "assistant"
    assert mask_text.messages[0].tool_calls[0].id == "t1"
    assert mask_text.messages[0].tool_calls[0].function.name == "look"
    assert mask_text.messages[0].tool_calls[0].function.arguments == "X"
    assert mask_text.messages[1].tool_call_id == "t1"
    assert mask_text.type is event.type


def test_keys_that_become_the_same_do_not_replace_each_other() -> None:
    assert mask_json({"ab": 1, "ac": 2, 3: None}, lambda text: "a") == {"a": 1, "a 2": 2, 3: None}


def test_an_event_without_a_match_is_the_identical_object() -> None:
    for event in EVENTS.values():
        assert mask_json(event, lambda text: text) is event


@pytest.mark.parametrize(("longest", "found"), [(20, False), (120, True)])
async def test_a_long_match_in_small_pieces_is_found_up_to_the_longest(
    longest: int, found: bool
) -> None:
    key = f"<{'k' * 100}>"
    client = KoelClient(
        ScriptedAgent(say("the ", *key, " ends")),
        interceptors=[Redact([re.compile("<k+>")], longest=longest)],
    )
    session = client.new_session("t")
    await session.send("go")
    content = session.state.messages[-1].content
    assert content == ("the [REDACTED] ends" if found else f"the {key} ends")
    await client.dispose()
