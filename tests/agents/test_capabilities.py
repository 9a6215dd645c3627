"""Capabilities of an agent with the real model, and of agents that have none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.agents import Snapshots, memory_of, tokens_in
from koel_tui.protocol import TurnSettings
from tests.agents.test_snapshots import LONG, agent_of, figures


class Silent:
    """An agent without capabilities: it can only run."""

    async def run(
        self,
        input: RunAgentInput,  # noqa: A002 - as in Agent
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        return
        yield


class Odd(Silent):
    """An agent whose capabilities return invalid values."""

    async def memory(self) -> str:
        return "much"

    async def count_tokens(self, text: str) -> str:
        return "many"


async def test_the_model_tells_its_memory_and_counts_tokens(
    tmp_path: Path, starter_path: Path
) -> None:
    snapshots = Snapshots(tmp_path)
    agent = agent_of(starter_path, snapshots)
    assert await memory_of(agent) is None
    assert await tokens_in(agent, "hello") is None
    await agent.load()
    assert await tokens_in(agent, "hello " * 50) == 51
    assert await tokens_in(agent, "half a pair \ud83c") is not None
    measured = await figures(agent, "a", LONG)
    use = await memory_of(agent)
    assert use is not None
    assert use.weights_bytes > 50_000_000 and use.kv_bytes > use.resident_bytes > 0
    assert (use.slots, use.max_slots, use.resident, use.parked) == (1, 2, 1, 0)
    assert use.snapshots_bytes == 0
    for thread in ("b", "c"):
        await figures(agent, thread, "hello")
    use = await memory_of(agent)
    assert use is not None
    assert (use.slots, use.max_slots, use.resident, use.parked) == (2, 2, 2, 1)
    assert use.parked_bytes > measured["prompt_tokens"] * 10_000
    await agent.release("a")
    use = await memory_of(agent)
    assert use is not None
    assert use.snapshots_bytes == snapshots.path("a").stat().st_size > 0
    await agent.close()
    assert await memory_of(agent) is None


@pytest.mark.parametrize("agent", [Silent(), Odd()])
async def test_an_agent_without_capabilities_reports_no_figures(agent: Silent) -> None:
    assert await memory_of(agent) is None
    assert await tokens_in(agent, "hello") is None
