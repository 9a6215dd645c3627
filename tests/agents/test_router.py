import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from ag_ui.core import BaseEvent, CustomEvent, RunAgentInput, UserMessage

from koel_tui.agents import BoundAgent, ModelInfo, ModelRouter, use_model
from koel_tui.agents.capabilities import MemoryUse, memory_of, tokens_in
from koel_tui.protocol import TurnSettings
from tests.engine.scripted import until

SETTINGS = TurnSettings(system="Be brief.")


class Named:
    """An agent that answers with its name, and waits until it may end."""

    def __init__(self, name: str | None, models: "ScriptedModels | None" = None) -> None:
        self.name = name
        self.models = models
        self.released: list[str] = []
        self.runs: list[tuple[TurnSettings | None, str | None, bool]] = []
        self.closed = 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        if progress is not None:
            progress(0.5)
        if self.models is not None:
            await self.models.may_load.wait()
            if self.name is not None and self.name == self.models.broken:
                raise RuntimeError(f"{self.name} is broken")
        return ModelInfo(str(self.name), 8192)

    async def run(
        self,
        input: RunAgentInput,  # noqa: A002 - as in Agent
        settings: TurnSettings | None = None,
        *,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        self.runs.append((settings, lora, ephemeral))
        yield CustomEvent(name="answered by", value=self.name)
        await self.may_end.wait()

    async def release(self, thread_id: str) -> None:
        self.released.append(thread_id)

    async def close(self) -> None:
        self.closed += 1


class ScriptedModels:
    """A router and all agents that it created."""

    def __init__(self, find: Callable[[str | None], Path | None] | None = None) -> None:
        self.agents: dict[str | None, Named] = {}
        self.every: list[Named] = []
        self.made: list[str | None] = []
        self.broken: str | None = None
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.router = ModelRouter(self._make, find) if find else ModelRouter(self._make)

    def _make(self, name: str | None) -> Named:
        self.made.append(name)
        self.agents[name] = Named(name, self)
        self.every.append(self.agents[name])
        return self.agents[name]

    def run(self, model: str | None = None, lora: str | None = None) -> AsyncIterator[BaseEvent]:
        return self.router.agent(model, lora).run(
            RunAgentInput(
                thread_id="t", run_id="r", state={}, tools=[], context=[], forwarded_props={},
                messages=[UserMessage(id="u", role="user", content="Hi")],
            ),
            SETTINGS,
        )  # fmt: skip

    async def answers(self, model: str | None = None, lora: str | None = None) -> object:
        (event,) = [event async for event in self.run(model, lora)]
        assert isinstance(event, CustomEvent)
        return event.value


async def test_a_thread_is_answered_by_the_model_it_wants() -> None:
    models = ScriptedModels()
    assert (await models.router.load()).name == "None"
    assert await models.answers() is None
    assert await models.answers(model="a") == "a"
    assert await models.answers(model="a") == "a"
    assert models.made == [None, "a"]


async def test_the_agent_of_a_thread_runs_with_its_model_adapter_and_settings() -> None:
    models = ScriptedModels()
    agent = models.router.agent("a", "/adapters/pirate.gguf")
    assert await models.answers("a", "/adapters/pirate.gguf") == "a"
    assert models.agents["a"].runs == [(SETTINGS, "/adapters/pirate.gguf", False)]
    assert agent == models.router.agent("a", "/adapters/pirate.gguf")
    assert agent != models.router.agent("a") and agent != ScriptedModels().router.agent(agent.model)
    assert models.router.agent() == models.router.agent("", "")
    await agent.release("t")
    assert [each.released for each in models.agents.values()] == [["t"], ["t"]]


async def test_a_model_over_the_limit_is_closed_and_loaded_again_on_demand() -> None:
    models = ScriptedModels()
    for name in ("a", "b", "a"):
        assert await models.answers(model=name) == name
    assert models.made == [None, "a", "b", "a"]
    assert models.agents["b"].closed == 1 and models.agents[None].closed == 0


async def test_a_model_that_answers_is_not_closed() -> None:
    models = ScriptedModels()
    assert await models.answers(model="a") == "a"
    first = models.agents["a"]
    first.may_end.clear()
    running = models.run(model="a")
    await anext(running)
    assert await models.answers(model="b") == "b"
    assert first.closed == 0
    first.may_end.set()
    assert [event async for event in running] == []
    assert await models.answers(model="c") == "c"
    assert first.closed == 1 and models.agents["b"].closed == 1


async def test_release_and_close_reach_every_model() -> None:
    models = ScriptedModels()
    await models.answers(model="a")
    await models.router.release("t")
    await models.router.close()
    await models.router.close()
    assert [agent.released for agent in models.agents.values()] == [["t"], ["t"]]
    assert models.agents["a"].closed == 1 and models.agents[None].closed == 2


async def test_a_model_whose_run_is_starting_is_not_closed() -> None:
    models = ScriptedModels()
    assert await models.answers(model="a") == "a"
    for name in ("b", "c"):
        models.agents.pop(name, None)
    runs = [models.run(model=name) for name in ("b", "c")]
    first = await asyncio.gather(*(anext(run) for run in runs))
    assert [event.value for event in first if isinstance(event, CustomEvent)] == ["b", "c"]
    assert models.agents["a"].closed == 1
    assert models.agents["b"].closed == models.agents["c"].closed == 0


async def test_nothing_is_loaded_after_the_end() -> None:
    models = ScriptedModels()
    await models.router.close()
    await models.answers(model="a")
    assert models.made == [None]


async def test_the_router_reports_the_figures_of_the_default_model() -> None:
    models = ScriptedModels()
    assert await memory_of(models.router) is None
    assert await tokens_in(models.router, "x") is None

    async def memory() -> MemoryUse:
        return MemoryUse(weights_bytes=5)

    async def count_tokens(text: str) -> int:
        return len(text)

    own = models.agents[None]
    own.memory, own.count_tokens = memory, count_tokens  # type: ignore[attr-defined]  # capabilities
    assert await memory_of(models.router) == MemoryUse(weights_bytes=5)
    assert await tokens_in(models.router, "three") == 5


async def test_another_model_answers_as_soon_as_it_is_loaded() -> None:
    models = ScriptedModels()
    assert await models.answers() is None
    assert (await models.router.use("a")).name == "a"
    assert await models.answers() == "a"
    assert models.agents[None].closed == 1 and models.agents["a"].closed == 0
    await models.router.close()
    assert models.agents["a"].closed == 1


async def test_a_failed_model_load_keeps_the_previous_model() -> None:
    models = ScriptedModels()
    models.broken = "a"
    with pytest.raises(RuntimeError, match="a is broken"):
        await models.router.use("a")
    assert await models.answers() is None
    assert models.agents["a"].closed == 1 and models.agents[None].closed == 0


async def test_a_turn_of_the_previous_model_ends_on_that_model() -> None:
    models = ScriptedModels()
    before = models.agents[None]
    before.may_end.clear()
    running = models.run()
    await anext(running)
    await models.router.use("a")
    assert before.closed == 0 and await models.answers() == "a"
    await models.router.release("t")
    assert before.released == models.agents["a"].released == ["t"]
    before.may_end.set()
    assert [event async for event in running] == []
    await until(lambda: before.closed == 1)


async def test_a_router_closed_while_a_model_loads_closes_that_model_too() -> None:
    models = ScriptedModels()
    models.may_load.clear()
    using = asyncio.create_task(models.router.use("a"))
    while "a" not in models.agents:
        await asyncio.sleep(0)
    await models.router.close()
    assert models.agents["a"].closed == 1
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert models.agents[None].closed == 1


async def test_the_progress_of_another_model_is_reported() -> None:
    models, seen = ScriptedModels(), list[float]()
    await use_model(models.router, "a", progress=seen.append)
    assert seen == [0.5]


async def test_a_run_with_an_adapter_goes_to_the_programs_own_model_with_it() -> None:
    models = ScriptedModels()
    asked = RunAgentInput(thread_id="t", run_id="r", messages=[])
    events = [event async for event in models.router.run(asked, SETTINGS, lora="/a.gguf")]
    assert len(events) == 1 and models.made == [None]
    assert models.agents[None].runs == [(SETTINGS, "/a.gguf", False)]


async def test_an_ephemeral_agent_runs_ephemerally_with_its_model_and_adapter() -> None:
    models = ScriptedModels()
    asked = RunAgentInput(thread_id="t", run_id="r", messages=[])
    once = BoundAgent(models.router, "a", "/a.gguf", is_ephemeral=True)
    assert once == models.router.agent("a", "/a.gguf").ephemeral()
    for agent in (once, models.router.agent("a", "/a.gguf")):
        _ = [event async for event in agent.run(asked)]
    assert models.agents["a"].runs == [(None, "/a.gguf", True), (None, "/a.gguf", False)]


async def test_an_agent_with_one_model_is_distinguished_from_one_with_a_choice() -> None:
    models = ScriptedModels()
    assert await use_model(models.router, "a") == ModelInfo("a", 8192)
    assert await use_model(Named("b"), "a") is None


class Files:
    """A router whose models are files in a folder; some files have several names."""

    def __init__(self, folder: Path) -> None:
        self.models = ScriptedModels(self.find)
        self.folder = folder
        for name in ("a", "b", "c"):
            (folder / f"{name}.gguf").write_text(name)
        (folder / "link.gguf").symlink_to(folder / "a.gguf")
        (folder / "hard.gguf").hardlink_to(folder / "a.gguf")
        self.own: str | None = "a"

    def find(self, name: str | None) -> Path | None:
        name = self.own if name is None else name
        if name is None or name == "nowhere":
            return None
        return self.folder / f"{name}.gguf" if "." not in name else Path(name)

    @property
    def alive(self) -> list[str | None]:
        return [each.name for each in self.models.every if not each.closed]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.chdir(tmp_path)
    return Files(tmp_path)


@pytest.mark.parametrize("own", ["a", None])
async def test_b10_a_model_is_loaded_once_by_any_of_its_names(
    files: Files, own: str | None
) -> None:
    files.own = own
    models = files.models
    names = ["a", str(files.folder / "a.gguf"), "./a.gguf", "a.gguf", "link", "hard"]
    answered = {await models.answers(model=name) for name in names}
    assert answered == {None if own else "a"}
    assert models.made == ([None] if own else [None, "a"])


async def test_b10_using_a_model_that_a_thread_has_loaded_does_not_load_it_again(
    files: Files,
) -> None:
    models = files.models
    assert await models.answers(model="b") == "b"
    assert (await models.router.use(str(files.folder / "b.gguf"))).name == "b"
    assert models.made == [None, "b"]
    assert await models.answers() == await models.answers(model="b") == "b"
    assert models.made == [None, "b"] and files.alive == ["b"]
    assert (await models.router.use("b")).name == "b"
    assert models.made == [None, "b"] and files.alive == ["b"]


async def test_b10_a_thread_that_wants_a_model_while_it_becomes_the_own_one_waits_for_that(
    files: Files,
) -> None:
    models = files.models
    models.may_load.clear()
    using = asyncio.create_task(models.router.use("b"))
    while "b" not in models.agents:
        await asyncio.sleep(0.001)
    assert await models.answers(model="b") == "b"
    models.may_load.set()
    await using
    assert models.made == [None, "b"] and files.alive == ["b"]


async def test_b10_a_model_that_becomes_the_default_during_a_search_keeps_its_file(
    files: Files,
) -> None:
    searching, may_end = threading.Event(), threading.Event()

    def find(name: str | None) -> Path | None:
        if name is None and not searching.is_set():
            searching.set()
            may_end.wait(5)
        return files.find(name)

    models = ScriptedModels(find)
    answering = asyncio.create_task(models.answers(model="c"))
    assert await asyncio.to_thread(searching.wait, 5)
    assert (await models.router.use("b")).name == "b"
    may_end.set()
    assert await answering == "c"
    assert await models.answers() == await models.answers(model="b") == "b"
    assert await models.answers(model="a") == "a"  # not answered by b
    assert models.made == [None, "b", "c", "a"]


async def test_b10_extra_models_are_closed_when_their_runs_have_ended_and_not_before(
    files: Files,
) -> None:
    models = files.models
    runs = [models.run(model=name) for name in ("b", "c")]
    for run in runs:
        await anext(run)
    assert files.alive == [None, "b", "c"]
    for run in runs:
        assert [event async for event in run] == []
    await until(lambda: len(files.alive) == 2)
    assert None in files.alive
    await models.router.close()
    assert files.alive == []


async def test_b10_a_name_without_a_model_closes_no_model(files: Files) -> None:
    models = files.models
    assert await models.answers(model="b") == "b"
    assert await models.answers(model="nowhere") == "nowhere"  # a real agent reports it
    assert await models.answers(model="b") == "b"
    assert models.made == [None, "b", "nowhere"] and files.alive == [None, "b"]
