"""Tests of the options of interceptors and tool handlers, with values other than the defaults."""

import logging
from collections.abc import AsyncIterator

import pytest
from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.protocol import TransportError
from koel_tui.session import KoelClient, LogRuns, Retry, tool_handler
from tests.session.helpers import ScriptedAgent, say


def lost(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
    raise TransportError("refused", "refused")


async def test_a_retry_has_its_own_count_and_waits() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    retry = Retry(retries=4, base_s=2, most_s=5, jitter=0.5, sleep=sleep, chance=lambda: 1.0)
    agent = ScriptedAgent(*[lost] * 5)
    session = KoelClient(agent, interceptors=[retry]).new_session()
    await session.send("hi")
    assert isinstance(session.state.error, TransportError)
    assert waits == [3.0, 6.0, 7.5, 7.5]
    assert len(agent.inputs) == 5
    await session.dispose()


async def test_runs_are_logged_to_the_given_logger_with_the_given_clock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times = iter((10.0, 17.5))
    log = LogRuns(logger=logging.getLogger("own"), clock=lambda: next(times))
    session = KoelClient(ScriptedAgent(say("hello")), interceptors=[log]).new_session("t")
    with caplog.at_level("INFO", "own"):
        await session.send("hi")
    assert {record.name for record in caplog.records} == {"own"}
    assert any("7.5" in record.getMessage() for record in caplog.records)
    await session.dispose()


def test_a_tool_has_the_name_and_description_it_is_given() -> None:
    async def look(place: str) -> str:
        """Look somewhere."""
        return place

    tool = tool_handler(look, name="search", description="Search a place.").tool
    assert (tool.name, tool.description) == ("search", "Search a place.")
