"""The local agent: engine deltas become AG-UI events, one engine session per thread."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from ag_ui.core import (
    AssistantMessage,
    BaseEvent,
    CustomEvent,
    EventType,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    TextMessageContentEvent,
    Tool,
    UserMessage,
)

from koel_tui.agents import ACTIVITY, METRICS, LocalAgent, ModelInfo
from koel_tui.engine import (
    Engine,
    ModelLoadError,
    ModelSpec,
    Sampling,
    ToolCallDelta,
)
from koel_tui.engine.wire_messages import OpenSession, StartTurn, StopTurn
from koel_tui.protocol import (
    ChatState,
    TurnSettings,
    Verifier,
    calls_to_answer,
    fold,
)
from tests.engine.scripted import ScriptedLink, until


def run_input(thread: str = "t", text: str = "hello") -> RunAgentInput:
    return RunAgentInput(
        thread_id=thread,
        run_id=f"run-{thread}",
        messages=[UserMessage(id="u", role="user", content=text)],
        forwarded_props={},
    )


class Loader:
    """Loads a scripted engine when the test allows it."""

    def __init__(self) -> None:
        self.link = ScriptedLink()
        self.loads = 0
        self.ready = asyncio.Event()
        self.ready.set()
        self.error: Exception | None = None

    async def __call__(self, progress: Callable[[float], None]) -> Engine:
        self.loads += 1
        progress(0.5)
        await self.ready.wait()
        if self.error is not None:
            raise self.error
        engine = Engine(self.link, ModelSpec(Path("none.gguf")), max_sessions=2)
        await engine.start()
        return engine


@pytest_asyncio.fixture
async def loader() -> Loader:
    return Loader()


@pytest_asyncio.fixture
async def agent(loader: Loader) -> AsyncIterator[LocalAgent]:
    made = LocalAgent(loader, TurnSettings(system="be brief"))
    yield made
    await made.close()


def collect(
    agent: LocalAgent,
    asked: RunAgentInput,
    settings: TurnSettings | None = None,
    lora: str | None = None,
) -> asyncio.Task[list[BaseEvent]]:
    async def read() -> list[BaseEvent]:
        return [event async for event in agent.run(asked, settings, lora=lora)]

    return asyncio.create_task(read())


def options(link: ScriptedLink) -> list[OpenSession]:
    return [each for each in link.commands if isinstance(each, OpenSession)]


def settings_of(link: ScriptedLink) -> list[TurnSettings]:
    return [each.settings for each in link.commands if isinstance(each, StartTurn)]


async def answer(
    agent: LocalAgent,
    link: ScriptedLink,
    asked: RunAgentInput,
    settings: TurnSettings | None = None,
    lora: str | None = None,
) -> list[BaseEvent]:
    """Start a run and let the model answer with one text."""
    begun = len(link.started)
    reading = collect(agent, asked, settings, lora)
    await until(lambda: len(link.started) > begun)
    link.say(link.started[-1], "fine")
    link.end(link.started[-1], tokens=1)
    return await reading


async def test_a_run_is_a_whole_stream_of_events(agent: LocalAgent, loader: Loader) -> None:
    reading = collect(agent, run_input())
    await until(lambda: loader.link.started)
    session = loader.link.started[0]
    loader.link.say(session, "Hel", "lo")
    loader.link.end(session, tokens=2)
    events = await reading
    visible = [event.type for event in events if event.type != EventType.CUSTOM]
    assert visible == [
        EventType.RUN_STARTED,
        EventType.TEXT_MESSAGE_START,
        EventType.TEXT_MESSAGE_CONTENT,
        EventType.TEXT_MESSAGE_CONTENT,
        EventType.TEXT_MESSAGE_END,
        EventType.RUN_FINISHED,
    ]
    text = [event.delta for event in events if isinstance(event, TextMessageContentEvent)]
    assert text == ["Hel", "lo"]
    custom = [event for event in events if isinstance(event, CustomEvent)]
    phases = [event.value["phase"] for event in custom if event.name == ACTIVITY]
    assert phases == ["loading", "writing"]
    (metrics,) = [event.value for event in custom if event.name == METRICS]
    assert metrics["output_tokens"] == 2 and metrics["context_tokens"] == 4096
    finished = events[-1]
    assert isinstance(finished, RunFinishedEvent) and finished.usage is not None
    assert finished.usage[0].output_tokens == 2


async def test_an_empty_answer_opens_no_message(agent: LocalAgent, loader: Loader) -> None:
    reading = collect(agent, run_input())
    await until(lambda: loader.link.started)
    loader.link.end(loader.link.started[0])
    types = [event.type for event in await reading]
    assert EventType.TEXT_MESSAGE_START not in types
    assert types[-1] == EventType.RUN_FINISHED


async def test_the_second_of_two_threads_gets_its_position(
    agent: LocalAgent, loader: Loader
) -> None:
    await agent.load()
    first = collect(agent, run_input("a"))
    await until(lambda: loader.link.started)
    events: list[BaseEvent] = []

    async def read() -> None:
        async for event in agent.run(run_input("b")):
            events.append(event)

    second = asyncio.create_task(read())
    await until(
        lambda: any(
            isinstance(event, CustomEvent) and event.value == {"phase": "queued", "position": 1}
            for event in events
        )
    )
    loader.link.end(loader.link.started[0])
    await first
    await until(lambda: len(loader.link.started) == 2)
    loader.link.end(loader.link.started[1])
    await second


CHANGES: dict[str, Any] = {
    "system": "be rude",
    "sampling": Sampling(temperature=0, logit_bias={1: 2.0}),
    "max_output_tokens": 7,
    "thinking": 5,
    "tools": ({"type": "function", "function": {"name": "f"}},),
    "tool_choice": "none",
    "schema": {"type": "object"},
    "stop": ("x",),
    "chat_template": "gemma",
    "prefill": "Once",
}


async def test_b13_a_changed_setting_keeps_the_threads_engine_session(
    agent: LocalAgent, loader: Loader
) -> None:
    link, defaults = loader.link, TurnSettings(system="be brief")
    assert set(CHANGES) == {each.name for each in dataclasses.fields(TurnSettings)}
    await answer(agent, link, run_input("a"))
    for name, value in CHANGES.items():
        changed = TurnSettings(**{name: value})
        await answer(agent, link, run_input("a"), changed)
        assert settings_of(link)[-1] == changed.over(defaults)
    tool = Tool(name="g", description="does g", parameters={})
    offered = run_input("a").model_copy(update={"tools": [tool]})
    await answer(agent, link, offered)
    assert [each["function"]["name"] for each in settings_of(link)[-1].tools or ()] == ["g"]
    await answer(agent, link, run_input("a"))
    assert settings_of(link)[-1] == defaults
    assert len(options(link)) == 1 and link.closed_sessions == []


async def test_the_message_of_an_answer_begins_with_the_prefill(
    agent: LocalAgent, loader: Loader
) -> None:
    reading = collect(agent, run_input(), TurnSettings(prefill="Once "))
    await until(lambda: loader.link.started)
    loader.link.think(loader.link.started[0], "hm")
    loader.link.say(loader.link.started[0], "upon", " a time")
    loader.link.end(loader.link.started[0])
    texts = [e.delta for e in await reading if isinstance(e, TextMessageContentEvent)]
    assert texts == ["Once upon", " a time"]


async def test_another_adapter_takes_another_engine_session(
    agent: LocalAgent, loader: Loader, tmp_path: Path
) -> None:
    link, adapter = loader.link, tmp_path / "lora.gguf"
    adapter.touch()
    await answer(agent, link, run_input("a"))
    await answer(agent, link, run_input("a"), lora=str(adapter))
    await answer(agent, link, run_input("a"), lora=str(adapter))
    assert [each.lora for each in options(link)] == [None, adapter]
    assert link.closed_sessions == [options(link)[0].session]


async def test_a_missing_adapter_fails_its_run_alone(agent: LocalAgent, loader: Loader) -> None:
    *_, last = await collect(agent, run_input("a"), lora="/nowhere/lora.gguf")
    assert isinstance(last, RunErrorEvent)
    assert last.code == "ModelLoadError" and "no such file" in last.message
    await answer(agent, loader.link, run_input("a"))


async def test_a_setting_that_the_engine_does_not_support_is_a_run_error(
    agent: LocalAgent, loader: Loader
) -> None:
    *_, last = await collect(agent, run_input("a"), TurnSettings(tool_choice="required"))
    assert isinstance(last, RunErrorEvent) and last.code == "UnsupportedError"
    await answer(agent, loader.link, run_input("a"))


async def test_a_run_beyond_the_session_limit_has_the_error_message_of_the_engine(
    agent: LocalAgent, loader: Loader
) -> None:
    await answer(agent, loader.link, run_input("a"))
    await answer(agent, loader.link, run_input("b"))
    events = await collect(agent, run_input("c"))
    assert isinstance(events[-1], RunErrorEvent)
    assert events[-1].code == "SessionLimitError"
    assert events[-1].message.startswith("Max concurrent sessions (2) reached.")
    await agent.release("a")
    await answer(agent, loader.link, run_input("c"))


async def test_leaving_the_run_stops_the_turn(agent: LocalAgent, loader: Loader) -> None:
    reading = collect(agent, run_input())
    await until(lambda: loader.link.started)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert loader.link.sent(StopTurn)


async def test_concurrent_loads_share_one_load_and_its_result(
    agent: LocalAgent, loader: Loader
) -> None:
    loader.ready.clear()
    received: list[float] = []
    loads = [asyncio.create_task(agent.load(received.append)) for _ in range(3)]
    await until(lambda: received)
    loads[0].cancel()
    loader.ready.set()
    results = await asyncio.gather(*loads, return_exceptions=True)
    assert results[1:] == [ModelInfo("scripted", 4096)] * 2
    assert loader.loads == 1


async def test_a_failed_load_is_a_run_error_and_can_be_tried_again(
    agent: LocalAgent, loader: Loader
) -> None:
    loader.error = ModelLoadError("no such model")
    with pytest.raises(ModelLoadError):
        await agent.load()
    events = await collect(agent, run_input())
    assert isinstance(events[-1], RunErrorEvent)
    assert (events[-1].code, events[-1].message) == ("ModelLoadError", "no such model")
    loader.error = None
    events = await answer(agent, loader.link, run_input())
    loads = [event for event in events if isinstance(event, CustomEvent) and event.name == ACTIVITY]
    assert loads[0].value["phase"] == "loading", "it is loaded again, and the run says so"


async def test_close_ends_a_load_and_everything_after_it(agent: LocalAgent, loader: Loader) -> None:
    loader.ready.clear()
    running = collect(agent, run_input())
    await until(lambda: loader.loads)
    await agent.close()
    await agent.close()
    await asyncio.gather(running, return_exceptions=True)
    events = await collect(agent, run_input())
    assert isinstance(events[-1], RunErrorEvent)
    assert events[-1].code == "EngineClosedError"


async def test_thinking_text_and_calls_become_events_that_fold_into_one_message(
    agent: LocalAgent, loader: Loader
) -> None:
    tool = Tool(name="f", description="does f", parameters={"type": "object"})
    asked = run_input().model_copy(update={"tools": [tool]})
    reading = collect(agent, asked, TurnSettings(thinking=True))
    link = loader.link
    await until(lambda: link.started)
    session = link.started[0]
    link.think(session, "hm")
    link.think(session, "m")
    link.say(session, "Let me see.")
    link.call_tool(session, ToolCallDelta("c1", "f", "{}"))
    link.end(session, tokens=3)
    events = await reading
    (settings,) = settings_of(link)
    assert settings.thinking and settings.tools and settings.tools[0]["function"]["name"] == "f"
    verifier, state = Verifier(), ChatState()
    for event in events:
        (checked,) = verifier.feed(event)
        state = fold(state, checked)
    (message,) = state.messages
    assert (message.reasoning, message.content) == ("hmm", "Let me see.")
    assert [(call.id, call.name, call.arguments) for call in message.tool_calls] == [
        ("c1", "f", "{}")
    ]
    assert [call.id for call in calls_to_answer(state)] == ["c1"]


async def test_a_partial_answer_at_the_end_is_continued_with_the_same_id(
    agent: LocalAgent, loader: Loader
) -> None:
    asked = run_input()
    asked.messages.append(AssistantMessage(id="half", role="assistant", content="Once"))
    events = await answer(agent, loader.link, asked)
    text = [event for event in events if isinstance(event, TextMessageContentEvent)]
    assert [event.message_id for event in text] == ["half"]


async def test_a_run_with_an_adapter_has_an_engine_session_with_it(
    agent: LocalAgent, loader: Loader, tmp_path: Path
) -> None:
    (tmp_path / "a.gguf").touch()
    for lora in (None, str(tmp_path / "a.gguf")):
        await answer(agent, loader.link, run_input(), lora=lora)
    assert [each.lora for each in options(loader.link)] == [None, tmp_path / "a.gguf"]
    assert len(set(loader.link.started)) == 2
    events = agent.run(run_input("other"), lora=str(tmp_path / "missing.gguf"))
    (*_, last) = [event async for event in events]
    assert isinstance(last, RunErrorEvent) and "missing.gguf" in last.message


@pytest.mark.parametrize(("gap_s", "pieces"), [(0.0, ["a", "b", "c"]), (3600.0, ["a", "bc"])])
async def test_text_that_comes_within_the_gap_is_one_event(
    loader: Loader, gap_s: float, pieces: list[str]
) -> None:
    agent = LocalAgent(loader, gap_s=gap_s)
    reading = collect(agent, run_input())
    await until(lambda: loader.link.started)
    loader.link.say(loader.link.started[0], "a", "b", "c")
    loader.link.end(loader.link.started[0], tokens=3)
    events = await reading
    assert [each.delta for each in events if isinstance(each, TextMessageContentEvent)] == pieces
    await agent.close()
