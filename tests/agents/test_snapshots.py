"""A released thread is resumed from its snapshot, without a new prefill, with the real model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ag_ui.core import CustomEvent, RunAgentInput, UserMessage

from koel_tui.agents import METRICS, LocalAgent, Snapshots
from koel_tui.engine import Engine, ModelSpec, Sampling, TurnSettings

LONG = "I walked to the harbour and wrote down what I saw there. " * 24


def agent_of(model: Path, snapshots: Snapshots | None) -> LocalAgent:
    async def load(progress: Callable[[float], None]) -> Engine:
        return await Engine.load(ModelSpec(model, context_tokens=1024, slots=2, threads=1))

    settings = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=4)
    return LocalAgent(load, settings, snapshots)


async def figures(agent: LocalAgent, thread: str, text: str) -> dict[str, Any]:
    """Run a turn and return its metrics."""
    asked = RunAgentInput(
        thread_id=thread,
        run_id="r",
        messages=[UserMessage(id="u", role="user", content=text)],
    )
    events = [event async for event in agent.run(asked)]
    (value,) = [
        event.value for event in events if isinstance(event, CustomEvent) and event.name == METRICS
    ]
    assert isinstance(value, dict)
    return value


async def test_a_released_thread_is_resumed_from_its_snapshot(
    tmp_path: Path, starter_path: Path
) -> None:
    snapshots = Snapshots(tmp_path / "kv")
    agent = agent_of(starter_path, snapshots)
    first = await figures(agent, "../a thread", LONG)
    assert first["reused_tokens"] == 0
    await agent.release("../a thread")
    await agent.close()
    (kept,) = (tmp_path / "kv").iterdir()
    assert kept == snapshots.find("../a thread") and kept.stat().st_mode & 0o777 == 0o600

    agent = agent_of(starter_path, snapshots)
    again = await figures(agent, "../a thread", LONG)
    assert again["reused_tokens"] == first["prompt_tokens"] - 1
    assert again["snapshot_misses"] == 0
    other = await figures(agent, "another", LONG.replace("harbour", "mountain"))
    assert other["snapshot_misses"] == 0
    await agent.close()
    snapshots.remove("../a thread")
    assert snapshots.find("../a thread") is None


async def test_short_threads_leave_nothing_behind(tmp_path: Path, starter_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "kv")
    agent = agent_of(starter_path, snapshots)
    await figures(agent, "t", "Hello.")
    await agent.release("t")
    await agent.close()
    assert not (tmp_path / "kv").exists()


async def test_a_snapshot_that_cannot_be_written_does_not_fail_the_release(
    tmp_path: Path, starter_path: Path
) -> None:
    (tmp_path / "kv").write_text("not a directory")
    agent = agent_of(starter_path, Snapshots(tmp_path / "kv"))
    await figures(agent, "t", LONG)
    await agent.release("t")
    await agent.close()


async def test_snapshots_over_their_budget_leave_the_newest(
    tmp_path: Path, starter_path: Path
) -> None:
    for name, budget, kept in (("large", 10**9, {"a", "b"}), ("small", 1, {"b"})):
        snapshots = Snapshots(tmp_path / name, budget_bytes=budget)
        agent = agent_of(starter_path, snapshots)
        for thread in ("a", "b"):
            await figures(agent, thread, LONG)
            await agent.release(thread)
        await agent.close()
        assert {each for each in ("a", "b") if snapshots.find(each)} == kept
