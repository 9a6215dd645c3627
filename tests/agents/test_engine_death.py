"""An engine crash under the local agent: the active run fails, the waiting runs continue."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from ag_ui.core import BaseEvent, RunErrorEvent, RunFinishedEvent, TextMessageContentEvent

from koel_tui.agents import LocalAgent
from koel_tui.engine import EngineCrashedError, RestartLimitError
from koel_tui.engine.restart_limiter import MAX_RESTARTS
from tests.agents.test_local import Loader, collect, run_input
from tests.engine.scripted import until
from tests.hostile_summary import Tally


@pytest_asyncio.fixture
async def loader() -> Loader:
    return Loader()


@pytest_asyncio.fixture
async def agent(loader: Loader) -> AsyncIterator[LocalAgent]:
    made = LocalAgent(loader)
    yield made
    await made.close()


def error_of(events: list[BaseEvent]) -> RunErrorEvent:
    assert isinstance(events[-1], RunErrorEvent)
    return events[-1]


def text_of(events: list[BaseEvent]) -> str:
    return "".join(each.delta for each in events if isinstance(each, TextMessageContentEvent))


async def running_and_waiting(
    agent: LocalAgent, loader: Loader
) -> tuple[asyncio.Task[list[BaseEvent]], asyncio.Task[list[BaseEvent]]]:
    """Start a run of thread a while thread b waits in the queue; return the tasks of both runs."""
    link = loader.link
    await agent.load()
    running = collect(agent, run_input("a"))
    await until(lambda: link.started)
    waiting = collect(agent, run_input("b"))
    await until(lambda: len(link.opened_sessions) == 2)
    return running, waiting


async def test_queued_turns_continue_in_order_after_a_crash(
    agent: LocalAgent, loader: Loader, tally: Tally
) -> None:
    link = loader.link
    running, waiting = await running_and_waiting(agent, loader)
    link.say(link.started[0], "half of ")
    link.crash()
    events = await running
    assert error_of(events).code == "EngineCrashedError" and text_of(events) == "half of "
    await until(lambda: len(link.started) == 2)
    link.say(link.started[1], "fine")
    link.end(link.started[1])
    events = await waiting
    assert isinstance(events[-1], RunFinishedEvent) and text_of(events) == "fine"
    assert (link.opened, loader.loads) == (2, 1)
    tally("engine crash", tried=2)


async def test_a_session_opening_interrupted_by_a_crash_is_repeated(
    agent: LocalAgent, loader: Loader, tally: Tally
) -> None:
    link = loader.link
    await agent.load()
    link.hold_sessions = True
    running = collect(agent, run_input())
    await until(lambda: link.opened_sessions)
    link.hold_sessions = False
    link.crash()
    await until(lambda: link.started)
    link.end(link.started[0])
    assert isinstance((await running)[-1], RunFinishedEvent)
    tally("engine crash", tried=1)


async def test_an_engine_that_crashes_at_every_restart_reaches_the_restart_limit(
    agent: LocalAgent, loader: Loader, tally: Tally
) -> None:
    link = loader.link
    running, waiting = await running_and_waiting(agent, loader)
    link.hold_load = True
    link.crash()
    assert error_of(await running).code == "EngineCrashedError"
    for restart in range(MAX_RESTARTS):
        await until(lambda n=restart + 2: link.opened == n)  # type: ignore[misc]
        link.crash()
    error = error_of(await waiting)
    assert error.code == "RestartLimitError"
    assert error.message.startswith("The engine was restarted 3 times within 60 seconds")
    assert error.message.count("Send again") == 0, "it says two things to do"
    assert link.opened == 1 + MAX_RESTARTS
    tally("engine crash", tried=1 + MAX_RESTARTS)


async def test_a_model_that_crashes_at_every_load_reaches_the_restart_limit(
    agent: LocalAgent, loader: Loader, tally: Tally
) -> None:
    loader.error = EngineCrashedError("The engine process ended by signal SIGABRT.")
    for _ in range(1 + MAX_RESTARTS):
        assert error_of(await collect(agent, run_input())).code == "EngineCrashedError"
    for _ in range(3):
        assert error_of(await collect(agent, run_input())).code == "RestartLimitError"
    with pytest.raises(RestartLimitError, match="SIGABRT"):
        await agent.load()
    assert loader.loads == 1 + MAX_RESTARTS
    tally("engine crash", tried=1 + MAX_RESTARTS)


async def test_a_run_can_be_cancelled_while_the_engine_restarts(
    agent: LocalAgent, loader: Loader, tally: Tally
) -> None:
    link = loader.link
    running, waiting = await running_and_waiting(agent, loader)
    link.hold_load = True
    link.crash()
    await running
    await until(lambda: link.opened == 2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    link.hold_load = False
    link.finish_load()
    next_run = collect(agent, run_input("b"))
    await until(lambda: len(link.started) == 2)
    link.end(link.started[-1])
    assert isinstance((await next_run)[-1], RunFinishedEvent)
    tally("cancellation", tried=1)
