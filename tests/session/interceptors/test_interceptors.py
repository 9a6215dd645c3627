"""Tests of interceptors: the order in which they run, and the interceptors of the package."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from ag_ui.core import (
    AssistantMessage,
    BaseEvent,
    CustomEvent,
    MessagesSnapshotEvent,
    RawEvent,
    ReasoningMessageStartEvent,
    RunAgentInput,
    RunErrorEvent,
    RunStartedEvent,
    StateSnapshotEvent,
    StepStartedEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.agents import ACTIVITY
from koel_tui.protocol import (
    BusinessError,
    Event,
    TransportError,
    TurnSettings,
    Verifier,
    error_event,
)
from koel_tui.session import Interceptor, KoelClient, LogRuns, Next, Redact, Retry
from koel_tui.session.interceptors.masking import Masking, mask_text
from koel_tui.storage import MemoryStorage
from tests.session.helpers import (
    Answer,
    ScriptedAgent,
    begin,
    content,
    eventually,
    fail,
    finish,
    other_tasks,
    say,
    start,
)


def noting(name: str, notes: list[str]) -> Interceptor:
    async def intercept(
        run: RunAgentInput, settings: TurnSettings | None, following: Next
    ) -> AsyncIterator[Event]:
        notes.append(f"{name} in")
        async for event in following(run, settings):
            yield event
        notes.append(f"{name} out")

    return intercept


async def test_the_first_interceptor_is_the_outermost() -> None:
    notes: list[str] = []

    async def endless(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield RunErrorEvent(message="over")

    both = [noting("A", notes), noting("B", notes)]
    from koel_tui.session.interceptors import pipeline

    run = RunAgentInput(
        thread_id="t", run_id="r", state={}, messages=[], tools=[], context=[], forwarded_props={}
    )
    async for _ in pipeline(ScriptedAgent(endless), both)(run, None):
        pass
    assert notes == ["A in", "B in", "B out", "A out"]


async def test_an_interceptor_that_raises_fails_the_run_and_keeps_the_received_text() -> None:
    async def breaking(
        run: RunAgentInput, settings: TurnSettings | None, following: Next
    ) -> AsyncIterator[Event]:
        async for event in following(run, settings):
            yield event
            if event.type == "TEXT_MESSAGE_CONTENT":
                raise RuntimeError("interceptor")

    session = KoelClient(ScriptedAgent(say("so", "far")), interceptors=[breaking]).new_session()
    await session.send("hi")
    assert session.state.error is not None
    assert session.state.messages[-1].content == "so"


def refused(times: int, error: BaseException) -> Answer:
    left = times

    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        nonlocal left
        yield begin(run)
        if left:
            left -= 1
            raise error
        async for event in say("through")(run):
            if not isinstance(event, RunStartedEvent):
                yield event

    return answer


async def test_a_connection_error_reported_by_an_event_is_retried() -> None:
    async def lost(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield error_event(TransportError("gone", "closed"))

    async def sleep(seconds: float) -> None:
        assert seconds > 0

    agent = ScriptedAgent(lost, say("through"))
    session = KoelClient(agent, interceptors=[Retry(sleep=sleep)]).new_session()
    await session.send("hi")
    assert session.state.error is None and len(agent.inputs) == 2


async def test_session_case_21_a_connection_is_retried_and_the_waits_grow() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    agent = ScriptedAgent(refused(3, TransportError("refused", "refused")))
    session = KoelClient(agent, interceptors=[Retry(sleep=sleep)]).new_session()
    events = session.events()
    await session.send("hi")
    await session.dispose()
    assert session.state.messages[-1].content == "through" and session.state.error is None
    seen = [event async for event in events]
    attempts = [event.value["attempt"] for event in seen if isinstance(event, CustomEvent)]
    assert attempts == [1, 2, 3]
    assert sum(isinstance(event, RunStartedEvent) for event in seen) == 1
    for wait, expected in zip(waits, (1, 2, 4), strict=True):
        assert 0.8 * expected <= wait <= 1.2 * expected


@pytest.mark.parametrize(
    ("answer", "runs"),
    [
        (refused(9, BusinessError("no", "auth")), 1),
        (refused(9, TransportError("refused", "refused")), 6),
        (fail(TransportError("cut", "closed"), "Hel"), 1),
    ],
)
async def test_an_error_that_is_not_retried_fails_the_run(answer: Answer, runs: int) -> None:
    async def sleep(seconds: float) -> None:
        assert seconds <= 30 * 1.2

    agent = ScriptedAgent(answer)
    session = KoelClient(agent, interceptors=[Retry(sleep=sleep)]).new_session()
    await session.send("hi")
    assert session.state.error is not None and len(agent.inputs) == runs


async def test_b18_progress_before_the_connection_fails_does_not_end_the_retries() -> None:
    async def sleep(seconds: float) -> None:
        assert seconds > 0

    async def queued(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield CustomEvent(name=ACTIVITY, value={"phase": "queued", "position": 1})
        yield RawEvent(event={"ping": 1})
        yield StepStartedEvent(step_name="think")
        raise TransportError("refused", "refused")

    agent = ScriptedAgent(queued, queued, say("through"))
    session = KoelClient(agent, interceptors=[Retry(sleep=sleep)]).new_session()
    events = session.events()
    await session.send("hi")
    await session.dispose()
    assert session.state.error is None
    assert len(agent.inputs) == 3
    seen = [event async for event in events]
    verifier = Verifier()
    assert [passed for event in seen for passed in verifier.feed(event)] == seen
    assert verifier.finish() == ()


@pytest.mark.parametrize(
    "said",
    [
        StateSnapshotEvent(snapshot={"a": 1}),
        ToolCallStartEvent(tool_call_id="c", tool_call_name="look"),
        ReasoningMessageStartEvent(message_id="r", role="reasoning"),
    ],
)
async def test_b18_a_run_that_already_sent_text_is_not_retried(said: BaseEvent) -> None:
    async def cut(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield said
        raise TransportError("cut", "closed")

    agent = ScriptedAgent(cut)
    session = KoelClient(agent, interceptors=[Retry()]).new_session()
    await session.send("hi")
    assert len(agent.inputs) == 1


async def test_cancel_ends_the_wait_between_two_attempts() -> None:
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    agent = ScriptedAgent(refused(9, TransportError("refused", "refused")))
    session = KoelClient(agent, interceptors=[Retry(sleep=sleep)]).new_session()
    sending = asyncio.create_task(session.send("hi"))
    await asyncio.wait_for(waiting.wait(), 5)
    session.cancel()
    await asyncio.wait_for(sending, 1)
    await session.dispose()
    await eventually(lambda: other_tasks() == set())
    assert len(agent.inputs) == 1


async def test_the_log_reports_runs_and_never_their_text(caplog: pytest.LogCaptureFixture) -> None:
    client = KoelClient(
        ScriptedAgent(say("a secret answer"), fail(OSError("secret path"))),
        interceptors=[LogRuns()],
    )
    with caplog.at_level(logging.DEBUG, logger="koel_tui.session.interceptors"):
        session = client.new_session("t")
        await session.send("a secret question")
        await session.send("again")
    text = caplog.text
    assert "TEXT_MESSAGE_CONTENT" in text and "thread t" in text and "OSError" in text
    assert "secret" not in text
    levels = {record.levelname for record in caplog.records}
    assert levels == {"DEBUG", "INFO", "WARNING"}


async def test_the_log_has_the_error_that_an_agent_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def failing(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield error_event(BusinessError("a secret limit", "quota"))

    session = KoelClient(ScriptedAgent(failing), interceptors=[LogRuns()]).new_session("t")
    await session.send("hi")
    assert "failed: business.quota" in caplog.text and "secret" not in caplog.text


async def test_session_case_22_redacted_text_is_never_saved() -> None:
    storage = MemoryStorage()
    client = KoelClient(
        ScriptedAgent(say("fo", "ob", "ar ", "baz")),
        storage=storage,
        interceptors=[Redact(["foo", "foobar"])],
    )
    session = client.new_session("t")
    await session.send("hi")
    saved = await storage.load("t")
    assert saved is not None and saved.messages[-1].content == "[REDACTED] baz"


async def test_arguments_results_and_snapshots_are_redacted_and_names_are_not() -> None:
    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield ToolCallStartEvent(tool_call_id="key", tool_call_name="key", parent_message_id="m")
        yield ToolCallArgsEvent(tool_call_id="key", delta='{"a":"k')
        yield ToolCallArgsEvent(tool_call_id="key", delta='ey"}')
        yield ToolCallEndEvent(tool_call_id="key")
        yield ToolCallResultEvent(message_id="r", tool_call_id="key", content="a key")
        yield start("a")
        yield content("a", "the ke")
        yield RunErrorEvent(message="over")

    session = KoelClient(ScriptedAgent(answer), interceptors=[Redact(["key"])]).new_session()
    await session.send("hi")
    _, calls, result, rest = session.state.messages
    assert (calls.tool_calls[0].name, calls.tool_calls[0].arguments) == (
        "key",
        '{"a":"[REDACTED]"}',
    )
    assert result.content == "a [REDACTED]"
    assert rest.content == "the ke"  # the held beginning of a possible match is not lost

    async def snapshot(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield MessagesSnapshotEvent(
            messages=[AssistantMessage(id="a", role="assistant", content="my key")]
        )
        yield finish(run)

    session = KoelClient(ScriptedAgent(snapshot), interceptors=[Redact(["key"])]).new_session()
    await session.send("hi")
    assert session.state.messages[-1].content == "my [REDACTED]"


async def test_texts_and_addresses_of_parts_are_redacted_and_files_are_not() -> None:
    image = {"type": "image", "source": {"type": "url", "value": "https://e.org/key"}}
    file = {"type": "image", "source": {"type": "data", "value": "akey", "mimeType": "image/png"}}
    parts = [{"type": "text", "text": "a key"}, image, file]
    given = MessagesSnapshotEvent.model_validate(
        {
            "messages": [
                {"id": "u", "role": "user", "content": parts},
                {"id": "a", "role": "assistant", "content": None},
            ]
        }
    )

    async def snapshot(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield given
        yield finish(run)

    session = KoelClient(ScriptedAgent(snapshot), interceptors=[Redact(["key"])]).new_session()
    await session.send("hi")
    question, answer = session.state.messages
    image["source"] = {"type": "url", "value": "https://e.org/[REDACTED]"}
    assert (question.content, question.attachments) == ("a [REDACTED]", (image, file))
    assert answer.content == ""


async def test_text_buffered_for_redaction_is_kept_when_the_agent_fails() -> None:
    answer = fail(OSError("gone"), "the ke")
    session = KoelClient(ScriptedAgent(answer), interceptors=[Redact(["key"])]).new_session()
    await session.send("hi")
    assert session.state.messages[-1].content == "the ke"


def test_redaction_without_patterns_is_refused() -> None:
    for patterns in ((), ("",)):
        with pytest.raises(ValueError, match="pattern"):
            Redact(patterns)


def test_matches_that_overlap_get_one_mask() -> None:
    assert mask_text("xabcx ab", ("ab", "bc")) == "x[REDACTED]x [REDACTED]"
    assert mask_text("aaa b", ("aa",)) == "[REDACTED] b"
    assert mask_text("id 12345.", (re.compile(r"\d{3,}"),)) == "id [REDACTED]."


PATTERNS: tuple[Any, ...] = ("ab", "bca", "aab", re.compile(r"c{2,4}"), re.compile(r"\bd"))


@given(st.lists(st.text("abcd ", max_size=4), max_size=12))
def test_a_text_in_pieces_is_masked_like_the_whole(pieces: list[str]) -> None:
    masking = Masking(PATTERNS, longest=8)
    streamed = "".join(masking.feed(piece) for piece in pieces) + masking.finish()
    assert streamed == mask_text("".join(pieces), PATTERNS)


def test_a_text_without_a_match_waits_no_longer_than_a_literal_needs() -> None:
    masking = Masking(("secret",), longest=64)
    given_out: Callable[[str], str] = masking.feed
    assert given_out("no ") == "no "
    assert given_out("sec") == ""
    assert given_out("ond") == "second"
