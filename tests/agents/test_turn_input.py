"""The input of a turn for a local model, and the input that the model refuses."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from ag_ui.core import (
    AssistantMessage,
    BinaryInputContent,
    FunctionCall,
    ReasoningMessage,
    SystemMessage,
    TextInputContent,
    ToolCall,
    ToolMessage,
    UserMessage,
)

from koel_tui.agents import LocalAgent
from koel_tui.agents.turn_input import STEP, TurnInput, engine_messages
from koel_tui.engine import ChatMessage, ToolCallDelta, UnsupportedError
from koel_tui.engine.wire_messages import StartTurn
from koel_tui.protocol import AgentError, ChatState, Message
from koel_tui.protocol.codec.state_codec import decode_state, encode_state
from koel_tui.session import ChatSession, KoelClient
from koel_tui.session.run_input import RunInputs
from tests.agents.test_local import Loader, answer, run_input
from tests.engine.scripted import until


@pytest_asyncio.fixture
async def loader() -> Loader:
    return Loader()


@pytest_asyncio.fixture
async def agent(loader: Loader) -> AsyncIterator[LocalAgent]:
    made = LocalAgent(loader)
    yield made
    await made.close()


def test_messages_are_converted_with_their_calls() -> None:
    call = ToolCall(id="c1", type="function", function=FunctionCall(name="f", arguments="{}"))
    messages = [
        SystemMessage(id="1", role="system", content="be brief"),
        UserMessage(id="2", role="user", content="hi \ud83d"),
        AssistantMessage(id="3", role="assistant", tool_calls=[call]),
        ToolMessage(id="4", role="tool", content="42", tool_call_id="c1"),
    ]
    assert engine_messages(list(messages)) == [
        ChatMessage("system", "be brief"),
        ChatMessage("user", "hi \ufffd"),
        ChatMessage("assistant", "", tool_calls=(ToolCallDelta("c1", "f", "{}"),)),
        ChatMessage("tool", "42", tool_call_id="c1"),
    ]


def test_reasoning_is_taken_over_only_where_the_answer_is_to_follow() -> None:
    question = UserMessage(id="1", role="user", content="hi")
    thought = ReasoningMessage(id="2", role="reasoning", content="hm \ud83d")
    encrypted = ReasoningMessage(id="3", role="reasoning", content="", encrypted_value="eA==")
    asked = ChatMessage("user", "hi")
    assert engine_messages([question, thought]) == [
        asked,
        ChatMessage("assistant", "", thinking="hm \ufffd"),
    ]
    assert engine_messages([thought, question]) == [asked]
    assert engine_messages([question, encrypted]) == [asked]


async def test_messages_that_stay_the_same_are_converted_once() -> None:
    turn_input = TurnInput()
    call = ToolCall(id="c1", type="function", function=FunctionCall(name="f", arguments="{}"))
    messages: list[Any] = [
        SystemMessage(id="1", role="system", content="be brief"),
        UserMessage(id="2", role="user", content="hi", name="Ada"),
        ReasoningMessage(id="3", role="reasoning", content="hm"),
        AssistantMessage(id="4", role="assistant", content="x", tool_calls=[call]),
        ToolMessage(id="5", role="tool", content="42", tool_call_id="c1"),
    ]
    first = await turn_input.convert(messages)
    assert first == engine_messages(messages)
    messages = [*messages, UserMessage(id="6", role="user", content="and?")]
    second = await turn_input.convert(messages)
    assert second == engine_messages(messages)
    assert [old is new for old, new in zip(first, second, strict=False)] == [
        True,
        True,
        False,
        True,
    ]
    call.function.arguments, messages[1].content, messages[4].tool_call_id = "[]", "hey", "c2"
    assert await turn_input.convert(messages) == engine_messages(messages)
    thought = ReasoningMessage(id="7", role="reasoning", content="again")
    assert await turn_input.convert([messages[1], thought]) == engine_messages(
        [messages[1], thought]
    )
    assert await turn_input.convert([]) == []


async def test_the_event_loop_runs_while_a_long_thread_is_converted() -> None:
    messages = [UserMessage(id=str(n), role="user", content=f"text {n}") for n in range(10 * STEP)]
    converting = asyncio.create_task(TurnInput().convert(messages))
    pauses = 0
    while not converting.done():
        pauses += 1
        await asyncio.sleep(0)
    assert pauses >= 10 and len(await converting) == 10 * STEP


async def test_an_answer_of_thinking_only_is_continued_after_its_thinking(
    loader: Loader, agent: LocalAgent
) -> None:
    half = Message("a", "assistant", reasoning="hm", reasoning_ids=("r",))
    session = KoelClient(agent).new_session(
        "t", ChatState(messages=(Message("u", "user", "hi"), half))
    )
    continuing = asyncio.create_task(session.continue_answer())
    await until(lambda: bool(loader.link.turns))
    (turn,) = [each for each in loader.link.commands if isinstance(each, StartTurn)]
    assert turn.messages[-1] == ChatMessage("assistant", "", thinking="hm")
    (number,) = loader.link.turns
    loader.link.say(number, "Lyon")
    loader.link.end(number)
    await continuing
    answer = session.state.messages[-1]
    assert (answer.id, answer.content, answer.reasoning) == ("a", "Lyon", "hm")
    assert len(session.state.messages) == 2
    await session.dispose()


def has_written(session: ChatSession, text: str) -> bool:
    return text in str(session.state.open_messages)


async def test_report_18_an_answer_stopped_while_thinking_continues_the_thought(
    loader: Loader, agent: LocalAgent
) -> None:
    """The answer is stopped twice, decoded from its stored form, and continued to its end."""
    half = Message("a", "assistant", reasoning="One", reasoning_ids=("r",), interrupted=True)
    state = ChatState(messages=(Message("u", "user", "hi"), half))
    for said in (" and two", " and three"):
        session = KoelClient(agent).new_session("t", decode_state(json.loads(encode_state(state))))
        continuing = asyncio.create_task(session.continue_answer())
        await until(lambda: bool(loader.link.turns))
        turn = [each for each in loader.link.commands if isinstance(each, StartTurn)][-1]
        stopped = ChatMessage(
            "assistant", "", thinking=state.messages[-1].reasoning, thinking_is_open=True
        )
        assert turn.messages[-1] == stopped
        (number,) = loader.link.turns
        loader.link.think(number, said)
        if said == " and two":
            await until(partial(has_written, session, "two"))
            session.cancel()
        else:
            loader.link.say(number, "Lyon")
            loader.link.end(number)
        await continuing
        state = session.state
        await session.dispose()
    answer = state.messages[-1]
    assert (answer.id, answer.content) == ("a", "Lyon")
    assert (answer.reasoning, answer.reasoning_ids) == ("One and two and three", ("r",))
    assert len(state.messages) == 2


async def test_report_18_another_agent_gets_the_stopped_thinking_as_any_other() -> None:
    half = Message("a", "assistant", reasoning="hm", reasoning_ids=("r",), interrupted=True)
    run = await RunInputs("t").build(ChatState(messages=(Message("u", "user", "hi"), half)))
    (_, sent) = json.loads(run.model_dump_json(by_alias=True, exclude_none=True))["messages"]
    assert sent == {"id": "a", "role": "reasoning", "content": "hm"}


def part(kind: str) -> dict[str, Any]:
    source = {"type": "data", "value": "aGk=", "mimeType": "x/y"}
    return {"type": kind, "source": source}


@pytest.mark.parametrize("kind", ["image", "audio", "video", "document"])
async def test_b17_content_that_is_not_text_fails_the_run_and_names_its_kind(
    agent: LocalAgent, loader: Loader, kind: str
) -> None:
    session = KoelClient(agent).new_session(
        initial=ChatState(messages=(Message("u", "user", "See.", attachments=(part(kind),)),))
    )
    async with asyncio.timeout(10):
        await session.send("Well?")
    assert isinstance(session.state.error, AgentError)
    assert session.state.error.agent_code == "UnsupportedError"
    assert kind in str(session.state.error) and "text file" in str(session.state.error)
    assert not loader.link.started
    await answer(agent, loader.link, run_input("another"))


def test_b17_legacy_binary_content_is_refused_and_text_parts_are_joined() -> None:
    legacy: Any = BinaryInputContent(type="binary", mime_type="x/y", data="a")
    binary = UserMessage.model_construct(id="u", role="user", content=[legacy])
    with pytest.raises(UnsupportedError, match="binary"):
        engine_messages([binary])
    texts = [TextInputContent(type="text", text=each) for each in ("one", "two")]
    (message,) = engine_messages([UserMessage(id="u", role="user", content=texts)])
    assert message == ChatMessage("user", "one\ntwo")


def test_b17_a_message_of_the_engine_takes_text_only() -> None:
    with pytest.raises(UnsupportedError, match="images"):
        ChatMessage("user", [part("image")])  # type: ignore[arg-type]  # a caller's mistake
    with pytest.raises(TypeError, match="must be a string, not 5"):
        ChatMessage("user", 5)  # type: ignore[arg-type]  # a caller's mistake
    with pytest.raises(TypeError, match="thinking of a message must be a string, not 5"):
        ChatMessage("assistant", "x", thinking=5)  # type: ignore[arg-type]  # a caller's mistake
