"""Options of sessions: agent, settings and tools, and the first save of a new session."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest

from koel_tui.protocol import ChatState, Message, TurnSettings
from koel_tui.session import ChatSession, KoelClient, tool_handler
from koel_tui.storage import MemoryStorage
from tests.session.helpers import ReleasingAgent, ScriptedAgent, eventually, said, say
from tests.session.test_tools import calling, results, weather

ASKED = ChatState(messages=(Message("u", "user", "Where?"),))
CUT = ChatState(
    messages=(*ASKED.messages, Message("a", "assistant", "In the ", interrupted=True)),
)
BRIEF = TurnSettings(system="Be brief.", max_output_tokens=5)


@pytest.mark.parametrize(
    "again",
    [
        lambda session, tools: session.edit("u", "And now?", tools=tools),
        lambda session, tools: session.regenerate(tools=tools),
        lambda session, tools: session.continue_answer(tools=tools),
    ],
    ids=["edit", "regenerate", "continue"],
)
async def test_tools_are_offered_and_called_however_an_answer_is_asked_for(
    again: Callable[[ChatSession, Iterable[Any]], Coroutine[Any, Any, None]],
) -> None:
    agent = ScriptedAgent(calling(("c", "weather", '{"city": "Hamburg"}')), say("Clear."))
    client = KoelClient(agent)
    session = client.new_session("t", CUT)
    await again(session, [tool_handler(weather)])
    assert [[tool.name for tool in each.tools or ()] for each in agent.inputs] == [["weather"]] * 2
    assert "Hamburg" in str(results(session.state)["c"])
    assert said(session.state)[-1] == ("assistant", "Clear.")
    await client.dispose()


async def test_a_session_with_a_separate_agent_is_answered_and_released_by_it() -> None:
    theirs, own = ReleasingAgent(say("theirs")), ReleasingAgent(say("own"))
    client = KoelClient(theirs)
    session = client.new_session("t", agent=own)
    await session.send("go")
    assert said(session.state) == [("user", "go"), ("assistant", "own")]
    await session.dispose()
    assert (own.released, theirs.released, theirs.inputs) == (["t"], [], [])
    await client.dispose()


async def test_the_settings_and_agent_that_a_session_is_made_with_answer_its_runs() -> None:
    theirs, own = ScriptedAgent(say("theirs")), ScriptedAgent(say("own"))
    client = KoelClient(theirs)
    session = ChatSession("t", ChatState(), client._dependencies, settings=BRIEF, agent=own)
    await session.send("go")
    assert own.settings == [BRIEF] and theirs.inputs == []
    assert said(session.state)[-1] == ("assistant", "own")
    await session.dispose()
    await client.dispose()


@pytest.mark.parametrize("unsaved", [False, True])
async def test_a_session_of_a_state_that_is_stored_nowhere_saves_it(unsaved: bool) -> None:
    storage = MemoryStorage()
    client = KoelClient(ScriptedAgent(say("x")), storage)
    session = ChatSession("t", ASKED, client._dependencies, unsaved=unsaved)
    assert session.dirty == unsaved
    await session.dispose()
    assert await storage.load("t") == (ASKED if unsaved else None)
    await client.dispose()


async def test_a_session_saves_only_after_the_earlier_one_of_its_thread_is_closed() -> None:
    storage = MemoryStorage()
    client = KoelClient(ScriptedAgent(say("x")), storage)
    earlier: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    session = ChatSession("t", ASKED, client._dependencies, after=earlier, unsaved=True)
    for _ in range(20):  # a save to memory takes less time
        await asyncio.sleep(0)
    assert session.dirty and await storage.load("t") is None
    earlier.set_result(None)
    await eventually(lambda: not session.dirty)
    assert await storage.load("t") == ASKED
    await session.dispose()
    await client.dispose()
