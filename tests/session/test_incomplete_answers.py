"""Answers that are incomplete: cut at the token limit, stopped, or with thinking only."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ag_ui.core import (
    BaseEvent,
    CustomEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    RunAgentInput,
    RunFinishedEvent,
)

from koel_tui.agents import METRICS
from koel_tui.protocol import (
    ChatState,
    Message,
    RunPhase,
    decode_state,
    encode_state,
    end_run,
    finish_reason,
    fold,
)
from koel_tui.session import KoelClient, keep_usage
from koel_tui.session.errors import NothingToContinueError
from koel_tui.storage import JsonFileStorage, MemoryStorage
from koel_tui.storage.interchange import json_format
from koel_tui.storage.interchange.markdown import to_markdown
from koel_tui.storage.interchange.portable_thread import Thread
from tests.session.helpers import (
    Answer,
    ScriptedAgent,
    begin,
    content,
    end,
    eventually,
    said,
    start,
)


def finished(run: RunAgentInput, reason: object) -> RunFinishedEvent:
    result = {"finishReason": reason}
    return RunFinishedEvent(thread_id=run.thread_id, run_id=run.run_id, result=result)


def answering(*deltas: str, reason: object = "end", name: str = "a1") -> Answer:
    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield start(name)
        for delta in deltas:
            yield content(name, delta)
        yield end(name)
        yield CustomEvent(name=METRICS, value={"reason": reason, "output_tokens": 3})
        yield finished(run, reason)

    return answer


def thinking(
    text: str, *deltas: str, reason: str = "end", name: str = "a1", thought: str = "r1"
) -> Answer:
    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield ReasoningMessageStartEvent(message_id=thought, role="reasoning")
        yield ReasoningMessageContentEvent(message_id=thought, delta=text)
        yield ReasoningMessageEndEvent(message_id=thought)
        if deltas:
            yield start(name)
            for delta in deltas:
                yield content(name, delta)
            yield end(name)
        yield CustomEvent(name=METRICS, value={"reason": reason, "output_tokens": 3})
        yield finished(run, reason)

    return answer


async def test_b16_a_cut_answer_is_stored_with_its_reason_and_is_continued(tmp_path: Path) -> None:
    storage = JsonFileStorage(tmp_path)
    agent = ScriptedAgent(answering("Mar", reason="length"), answering("seille."))
    client = KoelClient(agent, storage)
    session = client.new_session("t")
    await session.send("Which port?")
    await session.persist()
    stored = await JsonFileStorage(tmp_path).load("t")
    assert stored is not None
    assert stored.messages[-1].finish_reason == "length"
    assert not stored.messages[-1].interrupted
    await session.continue_answer()
    answer = session.state.messages[-1]
    assert (answer.id, answer.content, answer.finish_reason) == ("a1", "Marseille.", "end")
    with pytest.raises(NothingToContinueError):
        await session.continue_answer()
    await client.dispose()


async def test_a_continued_answer_that_is_cut_again_stays_continuable() -> None:
    agent = ScriptedAgent(answering("a", reason="length"), answering("b", reason="length"))
    client = KoelClient(agent)
    session = client.new_session()
    await session.send("go")
    await session.continue_answer()
    assert said(session.state) == [("user", "go"), ("assistant", "ab")]
    assert session.state.messages[-1].is_continuable
    await client.dispose()


async def test_continuing_with_nothing_more_to_say_completes_an_interrupted_answer() -> None:
    async def nothing(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield finished(run, "end")

    half = Message("a1", "assistant", "Marseille.", interrupted=True)
    client = KoelClient(ScriptedAgent(nothing))
    session = client.new_session("t", ChatState(messages=(Message("u1", "user", "?"), half)))
    await session.continue_answer()
    assert not session.state.messages[-1].is_continuable
    await client.dispose()


async def test_an_answer_of_thinking_only_is_kept_with_its_figures_and_answered_after() -> None:
    thought = thinking("a port in France", reason="length")
    agent = ScriptedAgent(thought, answering("Lyon", name="r1"))
    client = KoelClient(agent, MemoryStorage(), reducers=(keep_usage,))
    session = client.new_session("t")
    await session.send("Which port?")
    answer = session.state.messages[-1]
    assert (answer.role, answer.content, answer.reasoning) == (
        "assistant",
        "",
        "a port in France",
    )
    assert (answer.finish_reason, answer.is_thinking_only) == ("length", True)
    assert answer.usage == {"output_tokens": 3}
    await session.continue_answer()
    sent = agent.inputs[-1].messages[-1]
    assert (sent.role, sent.content) == ("reasoning", "a port in France")
    answer = session.state.messages[-1]
    assert (answer.content, answer.reasoning) == ("Lyon", "a port in France")
    assert len(session.state.messages) == 2
    assert not answer.is_continuable
    await client.dispose()


async def test_an_agent_that_thinks_again_continues_the_same_answer() -> None:
    agent = ScriptedAgent(thinking("one"), thinking("two", "Lyon", name="r1", thought="r2"))
    client = KoelClient(agent)
    session = client.new_session()
    await session.send("?")
    await session.continue_answer()
    answer = session.state.messages[-1]
    assert len(session.state.messages) == 2
    assert (answer.content, answer.reasoning) == ("Lyon", "one\n\ntwo")
    assert answer.reasoning_ids == ("r1", "r2")
    await client.dispose()


async def test_thinking_again_without_an_answer_leaves_one_continuable_answer() -> None:
    agent = ScriptedAgent(thinking("one"), thinking("two", thought="r2"))
    client = KoelClient(agent)
    session = client.new_session()
    await session.send("?")
    await session.continue_answer()
    (_, answer) = session.state.messages
    assert (answer.content, answer.reasoning) == ("", "one\n\ntwo")
    assert answer.is_continuable
    await client.dispose()


async def test_an_answer_stopped_while_it_thinks_is_continued_in_place() -> None:
    gate = asyncio.Event()

    async def stopped(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield ReasoningMessageStartEvent(message_id="r1", role="reasoning")
        yield ReasoningMessageContentEvent(message_id="r1", delta="hm")
        await gate.wait()

    client = KoelClient(ScriptedAgent(stopped, answering("Lyon", name="r1")))
    session = client.new_session()
    sending = asyncio.create_task(session.send("?"))
    await eventually(lambda: any(m.reasoning for m in session.state.pending_messages))
    session.cancel()
    await sending
    assert session.state.messages[-1].is_continuable
    await session.continue_answer()
    assert [message.content for message in session.state.messages] == ["?", "Lyon"]
    assert session.state.messages[-1].reasoning == "hm"
    await client.dispose()


async def test_thinking_of_an_earlier_answer_is_not_sent_again() -> None:
    agent = ScriptedAgent(thinking("one"), answering("Lyon"))
    client = KoelClient(agent)
    session = client.new_session()
    await session.send("?")
    await session.send("answer")
    assert [message.role for message in agent.inputs[-1].messages] == ["user", "user"]
    await client.dispose()


@pytest.mark.parametrize("reason", ["length", "content_filter", "end"])
def test_the_reason_is_kept_by_the_codec_and_by_export_and_import(reason: str) -> None:
    answer = Message("a1", "assistant", "Mar", finish_reason=reason)
    state = ChatState(messages=(Message("u1", "user", "?"), answer))
    wire = json.loads(encode_state(state))
    assert wire["messages"][1]["finishReason"] == reason
    assert "finishReason" not in wire["messages"][0]
    assert decode_state(wire) == state
    again = json_format.from_native(json.loads(json_format.to_native(Thread("t", state, {}))))
    assert again.state.messages[-1].finish_reason == reason


@pytest.mark.parametrize("reason", [None, 3, ["length"], {}])
def test_a_finish_reason_that_is_not_text_is_ignored(reason: object) -> None:
    run = RunAgentInput(
        thread_id="t", run_id="r", state={}, messages=[], tools=[], context=[], forwarded_props={}
    )
    event = finished(run, reason)
    assert finish_reason(event) is None
    state = ChatState(messages=(Message("a1", "assistant", "x"),))
    assert fold(state, event) is state


def test_the_reason_of_a_run_without_an_answer_is_not_noted_in_an_earlier_one() -> None:
    event = RunFinishedEvent(thread_id="t", run_id="r", result={"finishReason": "length"})
    earlier = (Message("a1", "assistant", "x"), Message("u2", "user", "y"))
    assert fold(ChatState(messages=earlier), event).messages == earlier


def test_an_incomplete_answer_is_marked_in_an_export_for_people() -> None:
    cut = Message("a1", "assistant", "Mar", finish_reason="length")
    thought = Message("a2", "assistant", reasoning="hm")
    text = to_markdown(Thread("t", ChatState(messages=(cut, thought)), {}))
    assert "Model (cut off)" in text
    assert "Model (thinking only)" in text


def test_b16_a_cut_answer_that_is_stopped_while_it_is_continued_was_stopped_not_cut() -> None:
    cut = Message("a1", "assistant", "Mar", finish_reason="length")
    continued = fold(ChatState(messages=(Message("u1", "user", "?"), cut)), start("a1"))
    (_, answer) = end_run(fold(continued, content("a1", "sei")), RunPhase.CANCELLED).messages
    assert (answer.content, answer.interrupted, answer.finish_reason) == ("Marsei", True, None)


def test_b16_an_answer_without_an_end_event_stays_interrupted_for_any_finish_reason() -> None:
    event = RunFinishedEvent(thread_id="t", run_id="r", result={"finishReason": "end"})
    writing = fold(
        fold(ChatState(messages=(Message("u1", "user", "?"),)), start("a1")), content("a1", "Mar")
    )
    answer = fold(writing, event).messages[-1]
    assert answer.interrupted and answer.is_continuable
