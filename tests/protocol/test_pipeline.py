"""Chunks, event order and fold combined, as in a run."""

import json
from collections.abc import AsyncIterator

from ag_ui.core import BaseEvent

from koel_tui.protocol import (
    ChatState,
    Event,
    ProtocolError,
    RunPhase,
    expand_chunks,
    fold,
    parse_event,
    verify,
)
from tests.protocol.build import HELLO
from tests.protocol.streams import Source, event

_RUN = {"threadId": "t", "runId": "r"}
FIRST = ChatState(messages=(HELLO,))
EVENTS = [
    event("RUN_STARTED", **_RUN),
    event("REASONING_MESSAGE_CHUNK", messageId="r1", delta="I have to "),
    event("REASONING_MESSAGE_CHUNK", delta="look."),
    event("REASONING_ENCRYPTED_VALUE", subtype="message", entityId="r1", encryptedValue="QQ=="),
    event("TEXT_MESSAGE_CHUNK", messageId="a1", delta="One mo"),
    event("TEXT_MESSAGE_CHUNK", delta="ment."),
    event("TOOL_CALL_CHUNK", toolCallId="c1", toolCallName="find", parentMessageId="a1"),
    event("TOOL_CALL_CHUNK", delta='{"q":'),
    event("TOOL_CALL_CHUNK", delta="1}"),
    event("TOOL_CALL_RESULT", toolCallId="c1", messageId="t1", content="42"),
    event("STATE_SNAPSHOT", snapshot={"count": 1}),
    event("STATE_DELTA", delta=[{"op": "replace", "path": "/count", "value": None}]),
    event("ACTIVITY_SNAPSHOT", messageId="p1", activityType="plan", content={"steps": 1}),
    event("TEXT_MESSAGE_CHUNK", messageId="a2", delta="It is 42."),
    event("RUN_FINISHED", **_RUN),
]


async def run(events: AsyncIterator[Event]) -> tuple[ChatState, list[str]]:
    """Return the state after a run of `events` from the first state, and the recorded events."""
    state, recorded = FIRST, list[str]()
    async for each in verify(expand_chunks(events)):
        assert isinstance(each, BaseEvent)
        recorded.append(each.model_dump_json(by_alias=True))
        state = fold(state, each)
    return state, recorded


async def test_a_run_of_chunks_becomes_a_conversation() -> None:
    state, _ = await run(Source(EVENTS))
    assert [(m.id, m.role, m.content, m.reasoning) for m in state.messages] == [
        ("u1", "user", "hello", ""),
        ("a1", "assistant", "One moment.", "I have to look."),
        ("t1", "tool", "42", ""),
        ("p1", "activity", '{"steps": 1}', ""),
        ("a2", "assistant", "It is 42.", ""),
    ]
    assert state.messages[1].tool_calls[0].arguments == '{"q":1}'
    assert state.state == {"count": None}
    assert (state.phase, state.error, state.pending_tool_calls) == (RunPhase.IDLE, None, ())


async def test_session_case_12_recorded_events_make_the_same_state_again() -> None:
    for count in range(len(EVENTS) + 1):
        live, recorded = await run(Source(EVENTS[:count]))
        again = FIRST
        for line in recorded:
            parsed = parse_event(json.loads(line))
            assert not isinstance(parsed, ProtocolError)
            again = fold(again, parsed)
        assert again == live


async def test_text_before_a_violation_is_kept() -> None:
    wrong = event("TOOL_CALL_END", toolCallId="nobody")
    state, recorded = await run(Source([*EVENTS[:5], wrong, *EVENTS[5:]]))
    assert [json.loads(line)["type"] for line in recorded[-1:]] == ["RUN_ERROR"]
    assert isinstance(state.error, ProtocolError)
    assert state.error.event_type == "TOOL_CALL_END"
    assert [message.content for message in state.messages] == ["hello", "One mo"]
    assert state.phase is RunPhase.ERROR


async def test_a_run_that_breaks_off_is_an_error() -> None:
    state, _ = await run(Source(EVENTS[:6]))
    assert isinstance(state.error, ProtocolError)
    assert (state.error.code, state.phase) == ("closed", RunPhase.ERROR)
    assert state.messages[-1].content == "One moment."
