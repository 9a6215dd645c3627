"""Ephemeral runs (titles and summaries) use one reserved session and keep no data."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest_asyncio
from ag_ui.core import BaseEvent

from koel_tui.agents import LocalAgent, ModelRouter, Snapshots
from koel_tui.engine import Engine, EngineHost, ModelSpec, Sampling
from koel_tui.engine.wire_messages import SaveKv, StopTurn
from koel_tui.protocol import ChatState, Message, TurnSettings
from koel_tui.session import KoelClient, keep_usage
from tests.agents.test_local import options, run_input
from tests.agents.test_release import LONG, Scripted, cancelled
from tests.agents.test_router import ScriptedModels
from tests.engine.scripted import until

ASKED = (Message("u", "user", "Sum it up."),)
DEADLINE_S = 300.0


@pytest_asyncio.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[Scripted]:
    made = Scripted(Snapshots(tmp_path / "kv"))
    yield made
    await made.agent.close()


async def read(events: AsyncIterator[BaseEvent]) -> None:
    async for _ in events:
        pass


def reused_tokens(state: ChatState) -> int:
    usage = state.messages[-1].usage
    assert usage is not None
    return int(usage["reused_tokens"])


async def test_b11_ephemeral_runs_come_one_after_the_other_when_all_sessions_are_in_use(
    scripted: Scripted,
) -> None:
    link, client = scripted.link, KoelClient(scripted.agent)
    for thread in ("a", "b"):  # the limit is 2 sessions
        await scripted.say(thread)
    asking = [asyncio.create_task(client.ask(ASKED)) for _ in range(2)]
    for number in (3, 4):
        await until(lambda number=number: len(link.started) == number)  # type: ignore[misc]
        link.say(link.started[-1], f"answer {number}")
        link.end(link.started[-1], tokens=500)
    assert await asyncio.gather(*asking) == ["answer 3", "answer 4"]
    assert scripted.open == ["a", "b"] and len(scripted.open_natively) == 2
    assert not link.sent(SaveKv)


async def test_b11_an_ephemeral_run_of_a_threads_id_leaves_the_session_of_that_thread(
    scripted: Scripted,
) -> None:
    await scripted.say("a")
    begun = len(scripted.link.started)
    asking = asyncio.create_task(read(scripted.agent.ephemeral().run(run_input("a"))))
    await until(lambda: len(scripted.link.started) > begun)
    scripted.link.end(scripted.link.started[-1], tokens=500)
    await asking
    assert scripted.open == ["a"] and len(scripted.open_natively) == 1


async def test_b11_a_stopped_ephemeral_run_stops_its_turn_and_frees_its_session(
    scripted: Scripted,
) -> None:
    await scripted.say("a")
    asking = asyncio.create_task(KoelClient(scripted.agent).ask(ASKED))
    await until(lambda: len(scripted.link.started) == 2)
    await cancelled(asking)
    assert len(scripted.link.sent(StopTurn)) == 1
    assert scripted.open == ["a"] and len(scripted.open_natively) == 1
    assert not scripted.link.sent(SaveKv)


async def test_b11_a_run_stopped_while_its_session_opens_does_not_lend_it_to_the_next(
    scripted: Scripted, tmp_path: Path
) -> None:
    adapter = tmp_path / "pirate.gguf"
    adapter.write_text("an adapter")
    await scripted.agent.load()
    scripted.link.hold_sessions = True
    running = scripted.agent.run(run_input("x"), lora=str(adapter), ephemeral=True)
    stopped = asyncio.create_task(read(running))
    await until(lambda: scripted.link.opened_sessions)
    await cancelled(stopped)
    asking = asyncio.create_task(KoelClient(scripted.agent).ask(ASKED))
    await asyncio.sleep(0)
    scripted.link.finish_sessions()
    scripted.link.hold_sessions = False
    await until(lambda: scripted.link.started)
    scripted.link.say(scripted.link.started[0], "plain")
    scripted.link.end(scripted.link.started[0])
    assert await asking == "plain"
    assert [each.lora for each in options(scripted.link)] == [adapter, None]
    assert scripted.open_natively == set()


async def test_b11_the_agent_of_a_thread_runs_its_model_and_adapter_without_keeping_anything() -> (
    None
):
    models = ScriptedModels()
    for agent in (models.router.agent("a", "pirate.gguf").ephemeral(), models.router.ephemeral()):
        await read(agent.run(run_input()))
    assert models.agents["a"].runs == [(None, "pirate.gguf", True)]
    assert models.agents[None].runs == [(None, None, True)]


async def test_b11_at_a_cap_of_one_session_the_runner_answers_a_thread_and_questions_of_no_thread(
    starter_path: Path, tmp_path: Path
) -> None:
    spec = ModelSpec(starter_path, context_tokens=1024, threads=1)
    engines: list[Engine] = []

    async def load(progress: Callable[[float], None]) -> Engine:
        engines.append(await EngineHost.load(spec, max_sessions=1))
        return engines[-1]

    settings = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=4)
    router = ModelRouter(lambda _: LocalAgent(load, settings, Snapshots(tmp_path / "kv")))
    client = KoelClient(router, reducers=[keep_usage])
    async with asyncio.timeout(DEADLINE_S):
        thread = client.new_session("a")
        await thread.send("Name a tree.")
        question = Message("q", "user", LONG * 24)  # long enough for a snapshot
        for _ in range(2):
            assert await client.ask([question], agent=router.agent())
        assert [each.name for each in engines[0].sessions] == ["a"]
        await thread.send("Why?")
        assert thread.state.error is None and reused_tokens(thread.state) > 20
        await client.dispose()
    await router.close()
    assert len(engines) == 1 and not list((tmp_path / "kv").glob("*"))
