"""The notice about a model: a run reports it, because a run loads the model of its thread."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ag_ui.core import BaseEvent, CustomEvent, RunAgentInput, UserMessage

from koel_tui.agents import METRICS, BoundAgent, LocalAgent, ModelRouter
from koel_tui.engine import Engine, ModelSpec
from tests.engine.scripted import ScriptedLink, until

RUN = RunAgentInput(
    thread_id="t",
    run_id="r",
    messages=[UserMessage(id="u", role="user", content="Hi")],
    forwarded_props={},
)


def local_agent(link: ScriptedLink) -> LocalAgent:
    async def load(progress: Callable[[float], None]) -> Engine:
        engine = Engine(link, ModelSpec(Path("none.gguf")), max_sessions=2)
        await engine.start()
        return engine

    return LocalAgent(load)


async def reported(agent: BoundAgent, link: ScriptedLink) -> list[str]:
    """Return the notices in the metrics of a run."""

    async def read() -> list[BaseEvent]:
        return [event async for event in agent.run(RUN)]

    reading = asyncio.create_task(read())
    await until(lambda: bool(link.started))
    link.end(link.started[0], tokens=1)
    custom = [event for event in await reading if isinstance(event, CustomEvent)]
    return [event.value["notice"] for event in custom if event.name == METRICS]


async def test_b36_a_run_reports_that_the_context_of_its_model_exceeds_the_training() -> None:
    default, own = ScriptedLink(), ScriptedLink()
    own.card = replace(own.card, name="own", trained_tokens=2048)
    router = ModelRouter(lambda name: local_agent(own if name else default), lambda _: None)
    assert await reported(router.agent(), default) == [""]
    (notice,) = await reported(router.agent("own.gguf"), own)
    assert "larger than the 2,048 that own was trained for" in notice
    await router.close()
