"""Tools: schemas from signatures, returned results, and an answer to every call in every case."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import pytest
from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
    RunErrorEvent,
    Tool,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallStartEvent,
)

from koel_tui.protocol import ChatState, RunPhase, ToolCall, TurnSettings, Verifier, fold
from koel_tui.session import ChatSession, KoelClient, tool_handler
from koel_tui.session.tool_loop import MAX_ROUNDS
from koel_tui.session.tools import call_tool
from tests.session.helpers import (
    Answer,
    ScriptedAgent,
    begin,
    collected,
    eventually,
    finish,
    other_tasks,
    say,
)


async def weather(city: str, days: int = 1) -> dict[str, Any]:
    """Tell the weather of a city."""
    return {"city": city, "sky": "clear", "days": days}


def calling(
    *calls: tuple[str, str, str], ending: Callable[[RunAgentInput], BaseEvent] = finish
) -> Answer:
    """Return an answer that makes these calls: id, name, arguments."""

    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        for call, name, arguments in calls:
            yield ToolCallStartEvent(
                tool_call_id=call, tool_call_name=name, parent_message_id=f"calls-{run.run_id}"
            )
            yield ToolCallArgsEvent(tool_call_id=call, delta=arguments)
            yield ToolCallEndEvent(tool_call_id=call)
        yield ending(run)

    return answer


def results(state: ChatState) -> dict[str | None, str]:
    return {each.tool_call_id: each.content for each in state.messages if each.role == "tool"}


def test_the_schema_comes_from_the_signature() -> None:
    tool = tool_handler(weather).tool
    assert (tool.name, tool.description) == ("weather", "Tell the weather of a city.")
    schema: Any = tool.parameters
    assert schema["properties"]["days"]["default"] == 1
    assert schema["required"] == ["city"]


def test_a_function_that_is_not_async_is_refused() -> None:
    with pytest.raises(TypeError, match="not an async"):
        tool_handler(lambda: None)  # type: ignore[arg-type, return-value]  # the mistake


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("weather", '{"city": "Hamburg"}'), '{"city":"Hamburg","sky":"clear","days":1}'),
        (("weather", '{"city": 1}'), "Error: city: Input should be a valid string"),
        (("weather", '{"city": "x", "moon": 1}'), "Error: moon: Unexpected keyword argument"),
        (("weather", "{"), "Error: Expecting property name"),
        (("weather", "[1]"), "Error: the arguments are not a JSON object."),
        (("wether", "{}"), "Error: there is no tool named 'wether'. There are: broken, weather."),
        (("broken", ""), "Error: no network \ufffd"),
    ],
)
async def test_every_result_of_a_tool_call_is_text(call: tuple[str, str], expected: str) -> None:
    async def broken() -> None:
        raise OSError("no network \ud800")

    handlers = {each.__name__: tool_handler(each) for each in (weather, broken)}
    assert (await call_tool(ToolCall("c", *call), handlers)).startswith(expected)


async def test_calls_are_executed_and_their_results_sent_back() -> None:
    agent = ScriptedAgent(
        calling(("c1", "weather", '{"city": "Bonn"}'), ("c2", "weather", '{"city": "Kiel"}')),
        say("Clear in both."),
    )
    session = KoelClient(agent).new_session()
    events = session.events()
    first = session.state
    await session.send("Weather?", tools=[tool_handler(weather)])
    assert session.state.phase is RunPhase.IDLE and not session.state.pending_tool_calls
    assert [message.role for message in session.state.messages] == [
        "user", "assistant", "tool", "tool", "assistant",
    ]  # fmt: skip
    assert json.loads(results(session.state)["c2"])["city"] == "Kiel"
    assert [tool.name for tool in agent.inputs[0].tools or ()] == ["weather"]
    assert [message.role for message in agent.inputs[1].messages][-2:] == ["tool", "tool"]
    assert agent.inputs[0].run_id != agent.inputs[1].run_id
    state = session.state
    await session.dispose()
    folded = first
    for event in await collected(events):
        folded = fold(folded, event)
    assert folded.messages == state.messages[1:]  # all but the user's message came as events


async def test_a_tool_that_is_only_declared_is_left_to_the_agent() -> None:
    agent = ScriptedAgent(calling(("c1", "screen", "{}")), say("fine"))
    session = KoelClient(agent).new_session()
    await session.send("Look.", tools=[Tool(name="screen", description="", parameters={})])
    assert len(agent.inputs) == 1
    assert [call.id for call in session.state.pending_tool_calls] == ["c1"]


async def test_a_model_that_never_stops_calling_is_stopped_with_every_call_answered() -> None:
    async def endless(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        async for event in calling((f"c-{run.run_id}", "weather", '{"city":"x"}'))(run):
            yield event

    agent = ScriptedAgent(endless)
    session = KoelClient(agent).new_session()
    await session.send("Go.", tools=[tool_handler(weather)])
    assert len(agent.inputs) == MAX_ROUNDS == len(results(session.state))
    assert session.state.error is not None and "8 times" in session.state.error.message


async def test_calls_of_a_run_that_fails_are_answered_without_being_executed() -> None:
    executed: list[str] = []

    async def note(text: str) -> None:
        executed.append(text)

    def error(run: RunAgentInput) -> BaseEvent:
        return RunErrorEvent(message="out of memory")

    agent = ScriptedAgent(calling(("c1", "note", '{"text": "x"}'), ending=error), say("again"))
    session = KoelClient(agent).new_session()
    await session.send("Go.", tools=[tool_handler(note)])
    assert executed == [] and session.state.phase is RunPhase.ERROR
    assert "failed" in results(session.state)["c1"]
    await session.send("And now?")
    assert "tool" in [message.role for message in agent.inputs[1].messages]


async def test_cancel_between_two_calls_answers_both_and_ends_the_one_that_runs() -> None:
    reached, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    agent = ScriptedAgent(calling(("c1", "weather", '{"city":"x"}'), ("c2", "slow", "{}")))
    session = KoelClient(agent).new_session()
    sending = asyncio.create_task(
        session.send("Go.", tools=[tool_handler(weather), tool_handler(slow)])
    )
    await asyncio.wait_for(reached.wait(), 5)
    before = session.state
    assert before.phase is RunPhase.STEP_RUNNING
    session.cancel()
    assert session.state.phase is RunPhase.CANCELLED
    assert "clear" in results(session.state)["c1"]
    assert "stopped" in results(session.state)["c2"]
    await asyncio.wait_for(sending, 1)
    await asyncio.wait_for(ended.wait(), 1)
    await session.dispose()
    assert other_tasks() == set()


async def test_a_tool_that_cancels_itself_ends_its_call_and_not_the_run() -> None:
    async def moody() -> None:
        raise asyncio.CancelledError

    agent = ScriptedAgent(calling(("c1", "moody", "{}")), say("fine"))
    session: ChatSession = KoelClient(agent).new_session()
    await session.send("Go.", tools=[tool_handler(moody)])
    assert results(session.state) == {"c1": "Error: moody was cancelled."}
    assert session.state.messages[-1].content == "fine"


async def test_dispose_during_a_call_settles_the_send() -> None:
    reached = asyncio.Event()

    async def slow() -> None:
        reached.set()
        await asyncio.Event().wait()

    session = KoelClient(ScriptedAgent(calling(("c1", "slow", "{}")))).new_session()
    sending = asyncio.create_task(session.send("Go.", tools=[tool_handler(slow)]))
    await asyncio.wait_for(reached.wait(), 5)
    await session.dispose()
    await asyncio.wait_for(sending, 1)
    assert "stopped" in results(session.state)["c1"]
    await eventually(lambda: other_tasks() == set())


async def test_b23_a_send_with_tool_rounds_is_a_stream_that_passes_our_own_check() -> None:
    agent = ScriptedAgent(
        calling(("c1", "weather", '{"city":"x"}')),
        calling(("c2", "weather", '{"city":"y"}'), ("c3", "nothing", "{}")),
        say("fine"),
    )
    session = KoelClient(agent).new_session()
    before, events = session.state, session.events()
    await session.send("Go.", tools=[tool_handler(weather)])
    asked = replace(before, messages=session.state.messages[:1], phase=RunPhase.RUNNING)
    await session.dispose()
    seen = await collected(events)
    verifier = Verifier()
    checked = [passed for event in seen for passed in verifier.feed(event)] + [*verifier.finish()]
    assert checked == seen
    assert reduce(fold, seen, asked) == session.state


async def test_b23_rounds_that_never_end_pass_our_own_check_up_to_their_error() -> None:
    agent = ScriptedAgent(calling(("c1", "weather", '{"city":"x"}')))
    session = KoelClient(agent).new_session()
    events = session.events()
    await session.send("Go.", tools=[tool_handler(weather)])
    await session.dispose()
    seen = await collected(events)
    verifier = Verifier()
    assert [passed for event in seen for passed in verifier.feed(event)] == seen
    assert isinstance(seen[-1], RunErrorEvent)


async def test_b23_a_run_that_fails_at_once_answers_no_call_of_an_earlier_run() -> None:
    agent = ScriptedAgent(calling(("c1", "elsewhere", "{}")), fail_at_once)
    session = KoelClient(agent).new_session()
    await session.send("Go.", tools=[declared_tool()])
    events = session.events()
    await session.send("Again.", tools=[tool_handler(weather)])
    await session.dispose()
    (error,) = await collected(events)
    assert isinstance(error, RunErrorEvent)


async def fail_at_once(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
    raise RuntimeError("no")
    yield begin(run)


def declared_tool() -> Tool:
    return Tool(name="elsewhere", description="", parameters={})


async def test_the_runs_of_one_send_have_the_settings_it_began_with() -> None:
    agent = ScriptedAgent(calling(("c1", "change", "{}")), say("fine"), say("other"))
    session = KoelClient(agent).new_session()
    before, after = TurnSettings(system="before"), TurnSettings(system="after")
    session.settings = before

    async def change() -> str:
        """Change the settings of the thread."""
        session.settings = after
        return "changed"

    await session.send("Go.", tools=[tool_handler(change)])
    await session.send("And now?")
    assert agent.settings == [before, before, after]
