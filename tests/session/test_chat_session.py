import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial, reduce
from itertools import repeat
from typing import Any

import pytest
from ag_ui.core import (
    BaseEvent,
    RawEvent,
    RunAgentInput,
    RunErrorEvent,
    StateSnapshotEvent,
    Tool,
)

from koel_tui.protocol import (
    AgentError,
    ChatState,
    Message,
    ProtocolError,
    RunPhase,
    TransportError,
    TurnSettings,
    UnknownEvent,
    fold,
)
from koel_tui.session import (
    InvalidStateError,
    KoelClient,
    RunInProgressError,
    SessionDisposedError,
    chat_session,
)
from koel_tui.storage import MemoryStorage
from tests.session.helpers import (
    Answer,
    ReleasingAgent,
    ScriptedAgent,
    begin,
    collected,
    content,
    eventually,
    fail,
    finish,
    said,
    say,
    start,
)


async def test_session_case_02_an_answer_streams_into_one_message() -> None:
    session = KoelClient(ScriptedAgent(say("Hel", "lo"))).new_session()
    await session.send("hi")
    assert said(session.state) == [("user", "hi"), ("assistant", "Hello")]
    assert session.state.pending_messages == ()
    assert session.state.phase is RunPhase.IDLE


async def test_session_case_01_a_new_run_clears_the_error_and_keeps_the_messages() -> None:
    session = KoelClient(ScriptedAgent(fail(ValueError("odd"), "half"), say("ok"))).new_session()
    await session.send("one")
    assert session.state.error is not None
    await session.send("two")
    assert session.state.error is None
    asked_twice = [("user", "one"), ("assistant", "half"), ("user", "two"), ("assistant", "ok")]
    assert said(session.state) == asked_twice


async def test_session_case_11_events_that_say_nothing_change_nothing() -> None:
    async def answer(run: RunAgentInput) -> AsyncIterator[Any]:
        yield begin(run)
        yield RawEvent(event=1)
        yield UnknownEvent("SOME_FUTURE_EVENT", {})
        yield finish(run)

    session = KoelClient(ScriptedAgent(answer)).new_session()
    states, events = session.states(), session.events()
    await session.send("hi")
    await session.dispose()
    assert len(await collected(events)) == 4
    assert said(session.state) == [("user", "hi")]
    assert [state.phase for state in await collected(states)] == [RunPhase.IDLE]


async def test_session_case_06_the_agents_state_is_kept_and_sent_with_the_next_run() -> None:
    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield StateSnapshotEvent(snapshot={"count": (run.state or {}).get("count", 0) + 1})
        yield finish(run)

    session = KoelClient(ScriptedAgent(answer)).new_session()
    await session.send("one")
    await session.send("two")
    assert session.state.state == {"count": 2}


async def test_send_sets_message_and_phase_at_the_call() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
    client = KoelClient(ScriptedAgent(say("ok")), clock=lambda: moment)
    session = client.new_session()
    sending = session.send("hi\ud83d")
    assert said(session.state) == [("user", "hi\ufffd")]
    assert session.state.phase is RunPhase.RUNNING
    await sending
    stamps = {message.timestamp for message in session.state.messages}
    assert stamps == {moment.replace(microsecond=678_000)}


async def test_times_are_exact_to_the_millisecond() -> None:
    for milliseconds in range(0, 1000, 7):
        moment = datetime(2026, 1, 2, 3, 4, 5, milliseconds * 1000, tzinfo=UTC)
        session = KoelClient(
            ScriptedAgent(say("ok")), clock=partial(next, repeat(moment))
        ).new_session()
        await session.send("hi")
        assert {message.timestamp for message in session.state.messages} == {moment}


async def test_a_second_send_is_refused_and_leaves_the_first_run_alone() -> None:
    gate = asyncio.Event()
    session = KoelClient(ScriptedAgent(say("ok", gate=gate))).new_session("t9")
    sending = asyncio.create_task(session.send("one"))
    await eventually(lambda: bool(session.state.pending_messages))
    before = session.state
    with pytest.raises(RunInProgressError, match="t9"):
        await session.send("two")
    assert session.state is before
    gate.set()
    await sending
    assert said(session.state) == [("user", "one"), ("assistant", "ok")]


async def test_the_input_of_an_agent_has_the_messages_tools_and_settings() -> None:
    agent = ScriptedAgent(say("ok"))
    session = KoelClient(agent).new_session(
        "t1",
        initial=ChatState(messages=(Message("a0", "assistant"), Message("u0", "user", "before"))),
        settings=TurnSettings(system="Be brief."),
    )
    tool = Tool(name="find", description="finds", parameters={})
    await session.send("now", tools=(tool,))
    session.settings = TurnSettings(max_output_tokens=5)
    await session.send("again")
    first, second = agent.inputs
    assert [(message.role, message.content) for message in first.messages] == [
        ("user", "before"),
        ("user", "now"),
    ]
    assert (first.thread_id, first.forwarded_props) == ("t1", {})
    assert agent.settings == [TurnSettings(system="Be brief."), TurnSettings(max_output_tokens=5)]
    assert first.tools == [tool]
    assert (second.tools, second.forwarded_props) == ([], {})
    assert first.run_id != second.run_id


@pytest.mark.parametrize(
    ("error", "family"),
    [(ConnectionResetError("cut"), TransportError), (ValueError("odd"), AgentError)],
)
async def test_a_raising_agent_is_an_error_in_the_state(
    error: Exception, family: type[Exception]
) -> None:
    session = KoelClient(ScriptedAgent(fail(error, "Hel"))).new_session()
    states = session.states()
    await session.send("hi")
    assert session.state.phase is RunPhase.ERROR
    assert isinstance(session.state.error, family)
    assert session.state.error.cause is error
    assert session.state.messages[-1].interrupted
    assert await anext(states) is session.state


async def test_an_agent_that_cannot_even_start_is_an_error_in_the_state() -> None:
    class Broken:
        def run(
            self,
            input: RunAgentInput,  # noqa: A002 - as in Agent
            settings: TurnSettings | None = None,
        ) -> AsyncIterator[BaseEvent]:
            raise RuntimeError("no model")

    session = KoelClient(Broken()).new_session()
    await session.send("hi")
    assert session.state.error == AgentError("no model")


async def test_a_run_error_event_ends_the_run() -> None:
    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield RunErrorEvent(message="busy", code="E7")
        raise AssertionError("read on after the end of the run")

    session = KoelClient(ScriptedAgent(answer)).new_session()
    await session.send("hi")
    assert session.state.error == AgentError("busy", agent_code="E7")


async def test_a_stream_that_just_ends_is_an_interrupted_run() -> None:
    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield start("m")
        yield content("m", "Hel")

    agent = ScriptedAgent(answer, say("ok"))
    session = KoelClient(agent).new_session()
    await session.send("hi")
    assert isinstance(session.state.error, ProtocolError)
    assert session.state.error.code == "closed"
    assert session.state.phase is RunPhase.ERROR
    assert session.state.messages[-1].interrupted
    await session.send("go on")
    assert [message.content for message in agent.inputs[1].messages] == ["hi", "Hel", "go on"]


@pytest.mark.parametrize(
    "answer", [say("Hel", "lo"), fail(ConnectionResetError("cut"), "ha"), fail(ValueError("odd"))]
)
async def test_session_case_12_the_recorded_events_fold_to_the_live_state(answer: Answer) -> None:
    session = KoelClient(ScriptedAgent(answer)).new_session()
    events = session.events()
    sending = session.send("hi")
    first = session.state
    await sending
    await session.dispose()
    assert reduce(fold, await collected(events), first) == session.state


async def test_session_case_13_an_event_that_cannot_be_folded_ends_the_run_with_an_error() -> None:
    class Poisoned(RawEvent):
        def model_copy(self, **_: object) -> "Poisoned":
            raise RuntimeError("cannot be copied")

    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield Poisoned(event=1)
        await asyncio.Event().wait()

    session = KoelClient(ScriptedAgent(answer)).new_session()
    async with asyncio.timeout(1):
        await session.send("hi")
    assert session.state.error == AgentError("cannot be copied")


async def test_use_after_dispose_is_refused() -> None:
    session = KoelClient(ScriptedAgent(say("ok"))).new_session("t9")
    await session.dispose()
    for use in (
        lambda: session.send("x"),
        session.cancel,
        session.states,
        session.events,
    ):
        with pytest.raises(SessionDisposedError, match="t9"):
            use()
    for later in (session.persist, session.clear):
        with pytest.raises(SessionDisposedError, match="t9"):
            await later()
    assert session.state == ChatState()


async def test_a_release_that_fails_does_not_stop_the_close() -> None:
    class Unreleasable(ReleasingAgent):
        async def release(self, thread_id: str) -> None:
            raise RuntimeError("gone")

    session = KoelClient(Unreleasable(say("ok"))).new_session()
    await session.dispose()
    assert session.closed


async def test_prompt_readers_see_every_state_and_slow_ones_the_newest() -> None:
    session = KoelClient(ScriptedAgent(say("a", "b", "c"))).new_session()
    prompt = asyncio.create_task(collected(session.states()))
    slow = session.states()
    sending = session.send("hi")
    await asyncio.sleep(0)
    await sending
    assert await anext(slow) is session.state
    await session.dispose()
    texts = ["".join(m.content for m in state.pending_messages) for state in await prompt]
    assert [text for text in texts if text] == ["a", "ab", "abc"]
    assert await collected(slow) == []


async def test_events_are_never_skipped_and_start_at_the_call() -> None:
    session = KoelClient(ScriptedAgent(say("a", "b"))).new_session()
    await session.send("one")
    events = session.events()
    await session.send("two")
    await session.dispose()
    kinds = [event.type for event in await collected(events)]
    assert kinds == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]


async def test_an_agent_that_cancels_itself_does_not_hang_its_run() -> None:
    session = KoelClient(ScriptedAgent(fail(asyncio.CancelledError(), "Hel"))).new_session()
    async with asyncio.timeout(1):
        await session.send("hi")
    assert session.state.phase is RunPhase.ERROR


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {1, 2}, object()])
async def test_b21_a_state_that_is_not_valid_json_is_refused_before_it_is_stored(
    value: object,
) -> None:
    storage = MemoryStorage()
    client = KoelClient(ScriptedAgent(say("Hello")), storage)
    session = client.new_session("t")
    session.update_state({"kept": 1})
    with pytest.raises(InvalidStateError, match="was not changed"):
        session.update_state({"x": value})
    assert session.state.state == {"kept": 1}
    await session.persist()
    assert session.save_error is None
    await client.dispose()


async def test_a_send_settles_although_even_its_failure_cannot_be_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat_session, "error_event", lambda _: 1 / 0)
    client = KoelClient(ScriptedAgent(fail(RuntimeError("lost"))), MemoryStorage())
    session = client.new_session("t")
    async with asyncio.timeout(5):
        await session.send("hi")
    assert session.state.phase is RunPhase.ERROR
    async with asyncio.timeout(5):
        await client.dispose()
    assert not session.dirty
