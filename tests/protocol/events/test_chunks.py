import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import (
    ChunkExpander,
    Event,
    ProtocolError,
    UnknownEvent,
    expand_chunks,
)
from tests.hostile_summary import Tally
from tests.protocol.streams import Source, event, kinds, read


def text(message_id: str | None = None, delta: str | None = None, **fields: object) -> Event:
    return event("TEXT_MESSAGE_CHUNK", messageId=message_id, delta=delta, **fields)


def call(call_id: str | None = None, delta: str | None = None, **fields: object) -> Event:
    return event("TOOL_CALL_CHUNK", toolCallId=call_id, delta=delta, **fields)


def thought(message_id: str | None = None, delta: str | None = None) -> Event:
    return event("REASONING_MESSAGE_CHUNK", messageId=message_id, delta=delta)


RAW = event("RAW", event=1)
CUSTOM = event("CUSTOM", name="n", value=1)


def expanded(*events: Event) -> list[Event]:
    expander = ChunkExpander()
    return [each for given in events for each in expander.feed(given)] + list(expander.finish())


def test_session_case_16_a_lone_tool_chunk_is_started_and_ended_at_the_streams_end() -> None:
    assert expanded(call("t1", toolCallName="find", parentMessageId="a1")) == [
        event("TOOL_CALL_START", toolCallId="t1", toolCallName="find", parentMessageId="a1"),
        event("TOOL_CALL_END", toolCallId="t1"),
    ]


async def test_session_case_16_holds_for_a_stream() -> None:
    source = Source([call("t1", toolCallName="find")])
    assert kinds(await read(expand_chunks(source))) == ["TOOL_CALL_START", "TOOL_CALL_END"]


def test_chunks_of_a_text_become_one_message() -> None:
    first = text("a1", "Hel", role="user", name="Ada", timestamp=5, subagentRunId="s")
    assert expanded(first, text(None, "lo"), text("a1", "!", timestamp=7)) == [
        event(
            "TEXT_MESSAGE_START",
            messageId="a1",
            role="user",
            name="Ada",
            timestamp=5,
            subagentRunId="s",
        ),
        event("TEXT_MESSAGE_CONTENT", messageId="a1", delta="Hel", timestamp=5, subagentRunId="s"),
        event("TEXT_MESSAGE_CONTENT", messageId="a1", delta="lo"),
        event("TEXT_MESSAGE_CONTENT", messageId="a1", delta="!", timestamp=7),
        event("TEXT_MESSAGE_END", messageId="a1", subagentRunId="s"),
    ]


def test_chunks_of_a_call_become_its_arguments() -> None:
    events = expanded(call("t1", '{"q":', toolCallName="find"), call(None, "1}"), call("t1"))
    assert kinds(events) == [
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
    ]


def test_chunks_of_reasoning_become_a_reasoning_message() -> None:
    assert expanded(thought("r1", "hm"), thought(delta=".")) == [
        event("REASONING_MESSAGE_START", messageId="r1", role="reasoning"),
        event("REASONING_MESSAGE_CONTENT", messageId="r1", delta="hm"),
        event("REASONING_MESSAGE_CONTENT", messageId="r1", delta="."),
        event("REASONING_MESSAGE_END", messageId="r1"),
    ]


def test_the_default_role_of_a_chunk_is_assistant() -> None:
    assert expanded(text("a1"))[0] == event("TEXT_MESSAGE_START", messageId="a1", role="assistant")


def test_a_new_id_ends_the_message_before_it() -> None:
    events = expanded(text("a1", "1"), text("a2", "2"))
    assert kinds(events) == ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"] * 2
    assert events[2] == event("TEXT_MESSAGE_END", messageId="a1")


def test_a_chunk_of_another_family_ends_the_open_message() -> None:
    events = expanded(thought("x", "hm"), text("x", "1"), call("x", "{}", toolCallName="find"))
    assert [kind.removeprefix("REASONING_") for kind in kinds(events)] == [
        "MESSAGE_START",
        "MESSAGE_CONTENT",
        "MESSAGE_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
    ]


@pytest.mark.parametrize(
    "other",
    [CUSTOM, UnknownEvent("NEW", {}), event("TEXT_MESSAGE_CONTENT", messageId="a", delta="")],
)
def test_another_event_ends_the_open_message_before_it(other: Event) -> None:
    events = expanded(text("a1", "1"), other)
    assert events[-2:] == [event("TEXT_MESSAGE_END", messageId="a1"), other]


def test_an_implied_end_has_the_time_of_the_event_that_causes_it() -> None:
    finished = event("RUN_FINISHED", threadId="t", runId="r", timestamp=9)
    assert expanded(text("a1"), finished)[1] == event(
        "TEXT_MESSAGE_END", messageId="a1", timestamp=9
    )


@pytest.mark.parametrize(
    "other",
    [
        RAW,
        event("ACTIVITY_SNAPSHOT", messageId="p", activityType="plan", content={}),
        event("ACTIVITY_DELTA", messageId="p", activityType="plan", patch=[]),
        event("REASONING_ENCRYPTED_VALUE", subtype="message", entityId="e", encryptedValue="AQ=="),
    ],
)
def test_some_events_pass_without_ending_the_open_message(other: Event) -> None:
    events = expanded(text("a1", "1"), other, text(None, "2"))
    assert kinds(events)[-2:] == ["TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
    assert events[2] is other


@pytest.mark.parametrize(
    ("chunk", "kind", "missing"),
    [
        (text(None, "x"), "TEXT_MESSAGE_CHUNK", "message id"),
        (text("", "x"), "TEXT_MESSAGE_CHUNK", "message id"),
        (thought(None, "x"), "REASONING_MESSAGE_CHUNK", "message id"),
        (call(None, "x", toolCallName="find"), "TOOL_CALL_CHUNK", "tool call id"),
        (call("t1", "x"), "TOOL_CALL_CHUNK", "tool call name"),
        (call("t1", "x", toolCallName=""), "TOOL_CALL_CHUNK", "tool call name"),
    ],
)
def test_a_first_chunk_that_lacks_something_is_a_violation(
    chunk: Event, kind: str, missing: str
) -> None:
    expander = ChunkExpander()
    expander.feed(text("open") if "TEXT" not in kind else thought("open"))
    with pytest.raises(ProtocolError, match=missing) as caught:
        expander.feed(chunk)
    assert (caught.value.code, caught.value.event_type) == ("malformed", kind)
    assert len(expander.finish()) == 1


def test_an_empty_id_continues_the_open_call() -> None:
    events = expanded(call("t1", "{", toolCallName="find"), call("", "}", toolCallName=""))
    assert kinds(events)[1:3] == ["TOOL_CALL_ARGS"] * 2


def test_events_that_are_not_chunks_pass_unchanged() -> None:
    expander = ChunkExpander()
    (passed,) = expander.feed(CUSTOM)
    assert passed is CUSTOM
    assert expander.finish() == ()


async def test_a_stream_that_is_cancelled_gets_no_end_and_is_closed() -> None:
    source = Source([text("a1", "1"), text(None, "2")])
    stream = expand_chunks(source)
    got = [await anext(stream), await anext(stream)]
    await stream.aclose()
    assert kinds(got) == ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]
    assert source.closed
    assert await read(stream) == []


async def test_a_failing_source_fails_the_stream_and_adds_no_end() -> None:
    source = Source([text("a1")], OSError("gone"))
    stream = expand_chunks(source)
    assert kinds([await anext(stream)]) == ["TEXT_MESSAGE_START"]
    with pytest.raises(OSError, match="gone"):
        await anext(stream)
    assert source.closed


_names = st.sampled_from([None, "", "a", "b"])
_chunks = st.one_of(
    st.builds(text, _names, _names),
    st.builds(thought, _names, _names),
    st.builds(lambda i, d, n: call(i, d, toolCallName=n), _names, _names, _names),
    st.sampled_from([RAW, CUSTOM]),
)


def test_arbitrary_chunks_end_before_the_next_begins(
    tally: Tally,
) -> None:
    tried = []

    @given(st.lists(_chunks, max_size=20))
    def ended(chunks: list[Event]) -> None:
        tried.append(chunks)
        _check_ends(chunks)

    ended()
    tally("event stream", tried=len(tried))


def _check_ends(given: list[Event]) -> None:
    expander, events = ChunkExpander(), list[Event]()
    for chunk in given:
        try:
            events += expander.feed(chunk)
        except ProtocolError:
            continue
    opened: tuple[str, str] | None = None
    for each in [*events, *expander.finish()]:
        (kind,) = kinds([each])
        family, _, step = kind.rpartition("_")
        assert "CHUNK" not in kind
        if each in (RAW, CUSTOM):
            assert each == RAW or opened is None
            continue
        item = (family, str(getattr(each, "message_id", None) or getattr(each, "tool_call_id", "")))
        assert opened == (None if step == "START" else item)
        opened = None if step == "END" else item
    assert opened is None
