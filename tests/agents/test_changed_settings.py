"""A setting that changes between two turns: the context of the thread stays in memory."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from ag_ui.core import AssistantMessage, CustomEvent, RunAgentInput, UserMessage

from koel_tui.agents import METRICS, LocalAgent, Snapshots
from koel_tui.engine import Engine, EngineHost, ModelSpec, Sampling, TurnSettings
from koel_tui.engine.native.context.kv_cache import KvCache
from koel_tui.engine.native.context.prompt_parts import common_prefix
from tests.agents.test_local import CHANGES
from tests.engine.test_sampling_pairs import USUAL

pytestmark = pytest.mark.asyncio(loop_scope="module")
BASE = TurnSettings(sampling=Sampling(temperature=0, seed=1), max_output_tokens=3)
TEXT = "I walked to the harbour and wrote down what I saw there. " * 12
SAMPLERS = [each.name for each in dataclasses.fields(Sampling)]
SETTINGS: dict[str, TurnSettings] = {
    **{name: TurnSettings(**{name: value}) for name, value in CHANGES.items()},
    **{
        f"sampling: {name}": TurnSettings(
            sampling=dataclasses.replace(Sampling(seed=1), **{name: getattr(USUAL, name)})
        )
        for name in SAMPLERS
    },
}
SAME_PROMPT = {"sampling", "max_output_tokens", "thinking", "tool_choice", "schema", "stop"}


class Thread:
    """A conversation with an agent, whose turns report their metrics."""

    def __init__(self, agent: LocalAgent, name: str = "thread") -> None:
        self._agent = agent
        self._name = name
        self.messages: list[Any] = [UserMessage(id="u", role="user", content=TEXT)]

    async def ask(self, settings: TurnSettings | None = None) -> dict[str, Any]:
        """Return the metrics of an answer to the messages."""
        asked = RunAgentInput(thread_id=self._name, run_id="r", messages=self.messages)
        events = [event async for event in self._agent.run(asked, settings)]
        (value,) = [
            each.value for each in events if isinstance(each, CustomEvent) and each.name == METRICS
        ]
        return dict(value)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[(Engine, True), (Engine, False), (EngineHost, True), (EngineHost, False)],
    ids=["here", "here, encrypted", "runner", "runner, encrypted"],
)
async def thread(
    request: pytest.FixtureRequest, starter_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Thread]:
    """A thread that all tests of this module share; an encrypted thread has no snapshots."""
    kind, has_snapshots = request.param
    folder = tmp_path_factory.mktemp("changed") / "kv"

    async def load(progress: Callable[[float], None]) -> Engine:
        spec = ModelSpec(starter_path, context_tokens=1024, slots=2, threads=1)
        return await kind.load(spec)  # type: ignore[no-any-return]

    agent = LocalAgent(load, BASE, Snapshots(folder) if has_snapshots else None)
    yield Thread(agent)
    assert not folder.exists(), "a change went through the disk"
    await agent.close()


@pytest.mark.parametrize("name", SETTINGS)
async def test_b13_a_changed_setting_keeps_every_token_of_the_common_prefix(
    thread: Thread, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Reused tokens are compared with the common prefix where the engine runs in this process."""
    common: list[int] = []
    real = KvCache.prepare

    def prepare(self: KvCache, session: int, lora: Any, prompt: Any, busy: Any) -> Any:
        held = next((list(each.parts) for each in self._slots if each.session == session), [])
        common.append(min(common_prefix(held, list(prompt)), len(prompt) - 1))
        return real(self, session, lora, prompt, busy)

    monkeypatch.setattr(KvCache, "prepare", prepare)
    before = await thread.ask()
    changed = await thread.ask(SETTINGS[name])
    after = await thread.ask()
    whole = before["prompt_tokens"] - 1
    if name.partition(":")[0] in SAME_PROMPT:
        assert changed["reused_tokens"] == after["reused_tokens"] == whole
        assert changed["prompt_tokens"] == before["prompt_tokens"]
    elif name == "prefill":
        assert changed["reused_tokens"] >= whole and after["reused_tokens"] == whole
    if common:
        reused = [each["reused_tokens"] for each in (before, changed, after)]
        # More tokens are reused if another thread has a longer prefix, which is then copied.
        assert all(ours >= least for ours, least in zip(reused, common, strict=True))
    assert before["snapshot_misses"] == changed["snapshot_misses"] == 0


async def test_a_follow_up_with_another_setting_reads_its_question_only(thread: Thread) -> None:
    other = Thread(thread._agent, "follow-up")
    first = await other.ask()
    other.messages += [
        AssistantMessage(id="a", role="assistant", content="I see."),
        UserMessage(id="v", role="user", content="What did I see?"),
    ]
    same = await other.ask()
    del other.messages[1:]
    await other.ask()
    other.messages += [
        AssistantMessage(id="a", role="assistant", content="I see."),
        UserMessage(id="v", role="user", content="What did I see?"),
    ]
    changed = await other.ask(TurnSettings(sampling=Sampling(temperature=0.1, seed=1)))
    assert changed["prompt_tokens"] == same["prompt_tokens"]
    assert changed["reused_tokens"] == same["reused_tokens"] >= first["prompt_tokens"]
