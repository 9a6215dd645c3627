"""The engine has only the sessions of the threads in use, regardless of how a thread ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from ag_ui.core import CustomEvent, RunErrorEvent, RunFinishedEvent

from koel_tui.agents import ACTIVITY, LocalAgent, Snapshots
from koel_tui.engine import Engine, EngineHost, ModelSpec, Sampling, TurnSettings
from koel_tui.engine.wire_messages import CloseSession, Command, Done, SaveKv
from koel_tui.protocol import RunPhase
from koel_tui.session import KoelClient, run
from koel_tui.storage import MemoryStorage
from tests.agents.test_local import Loader, collect, options, run_input
from tests.engine.scripted import ScriptedLink, until

LONG = "I walked to the harbour and wrote down what I saw there. "
DEADLINE_S = 300.0


class HeldLink(ScriptedLink):
    """A native side whose saves wait while `hold_saves` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.hold_saves = False

    def send(self, command: Command) -> None:
        if isinstance(command, SaveKv) and self.hold_saves:
            self.commands.append(command)
        else:
            super().send(command)

    def finish_saves(self) -> None:
        self.hold_saves = False
        for each in self.sent(SaveKv):
            assert isinstance(each, SaveKv)
            self.emit(Done(each.call))


class Scripted:
    """An agent with a scripted engine."""

    def __init__(self, snapshots: Snapshots | None) -> None:
        self.loader = Loader()
        self.link = self.loader.link = HeldLink()
        self.agent = LocalAgent(self.loader, snapshots=snapshots)

    @property
    def engine(self) -> Engine:
        engine = self.agent._loaded_engine
        assert engine is not None
        return engine

    @property
    def open(self) -> list[str]:
        return sorted(each.name for each in self.engine.sessions)

    @property
    def open_natively(self) -> set[int]:
        return set(self.link.opened_sessions) - set(self.link.closed_sessions)

    async def say(self, thread: str, tokens: int = 500) -> None:
        """Answer a thread with enough tokens that its context is saved as a snapshot."""
        reading = collect(self.agent, run_input(thread))
        begun = len(self.link.started)
        await until(lambda: len(self.link.started) > begun)
        self.link.end(self.link.started[-1], tokens=tokens)
        await reading


@pytest_asyncio.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[Scripted]:
    made = Scripted(Snapshots(tmp_path / "kv"))
    yield made
    made.link.finish_saves()
    await made.agent.close()


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_b2_a_release_cancelled_while_it_saves_leaves_no_session(scripted: Scripted) -> None:
    await scripted.say("a")
    scripted.link.hold_saves = True
    releasing = asyncio.create_task(scripted.agent.release("a"))
    await until(lambda: scripted.link.sent(SaveKv))
    assert scripted.open == []
    await cancelled(releasing)
    assert scripted.open == [] and scripted.open_natively == set()
    kinds = [
        type(each) for each in scripted.link.commands if isinstance(each, SaveKv | CloseSession)
    ]
    assert kinds == [SaveKv, CloseSession]


async def test_b2_a_session_is_free_for_another_thread_before_its_snapshot_is_written(
    scripted: Scripted,
) -> None:
    for thread in ("a", "b"):
        await scripted.say(thread)
    scripted.link.hold_saves = True
    releasing = asyncio.create_task(scripted.agent.release("a"))
    await until(lambda: scripted.link.sent(SaveKv))
    await scripted.say("c")  # the limit is 2 sessions
    assert scripted.open == ["b", "c"]
    scripted.link.finish_saves()
    await releasing


async def test_b2_a_thread_reopened_while_its_snapshot_is_written_reads_that_snapshot(
    scripted: Scripted, tmp_path: Path
) -> None:
    await scripted.say("a")
    scripted.link.hold_saves = True
    releasing = asyncio.create_task(scripted.agent.release("a"))
    await until(lambda: scripted.link.sent(SaveKv))
    again = collect(scripted.agent, run_input("a"))
    await asyncio.sleep(0)
    path = Snapshots(tmp_path / "kv").path("a")
    path.parent.mkdir()
    path.write_text("what the engine would have written")
    scripted.link.finish_saves()
    await until(lambda: len(scripted.link.started) == 2)
    assert options(scripted.link)[-1].kv == path
    scripted.link.end(scripted.link.started[-1])
    assert isinstance((await again)[-1], RunFinishedEvent)
    await releasing
    assert scripted.open == ["a"]


@pytest.mark.parametrize("release", [True, False])
async def test_b2_a_run_cancelled_while_its_session_opens_leaves_no_session(
    scripted: Scripted, release: bool
) -> None:
    await scripted.agent.load()
    scripted.link.hold_sessions = True
    running = collect(scripted.agent, run_input("a"))
    await until(lambda: scripted.link.opened_sessions)
    await cancelled(running)
    if release:
        await scripted.agent.release("a")
        assert scripted.open == [] and scripted.open_natively == set()
    scripted.link.finish_sessions()
    await scripted.say("a")  # the thread continues, in one session
    assert scripted.open == ["a"] and len(scripted.open_natively) == 1


async def test_b2_a_thread_released_while_its_session_opens_ends_its_run(
    scripted: Scripted,
) -> None:
    await scripted.agent.load()
    scripted.link.hold_sessions = True
    running = collect(scripted.agent, run_input("a"))
    await until(lambda: scripted.link.opened_sessions)
    await scripted.agent.release("a")
    *_, last = await running
    assert isinstance(last, RunErrorEvent) and last.code == "SessionClosedError"
    assert scripted.open == [] and scripted.open_natively == set()


async def test_b2_two_runs_of_a_thread_at_once_open_one_session(scripted: Scripted) -> None:
    await scripted.agent.load()
    scripted.link.hold_sessions = True
    runs = [collect(scripted.agent, run_input("a")) for _ in range(2)]
    await until(lambda: scripted.link.opened_sessions)
    scripted.link.finish_sessions()
    await until(lambda: scripted.link.started)
    await until(lambda: any(each.done() for each in runs))
    scripted.link.end(scripted.link.started[0])
    ends = [(await each)[-1] for each in runs]
    assert {type(each) for each in ends} == {RunErrorEvent, RunFinishedEvent}
    assert [each.code for each in ends if isinstance(each, RunErrorEvent)] == ["SessionBusyError"]
    assert scripted.open == ["a"] and len(scripted.open_natively) == 1


async def test_b2_a_session_that_does_not_open_is_tried_again(scripted: Scripted) -> None:
    await scripted.agent.load()
    scripted.link.refuse_sessions = "no room"
    *_, last = await collect(scripted.agent, run_input("a"))
    assert isinstance(last, RunErrorEvent) and last.message == "no room"
    assert scripted.open == []
    scripted.link.refuse_sessions = None
    await scripted.say("a")
    assert scripted.open == ["a"]


async def test_b10_an_agent_that_closes_saves_its_threads_and_ends_running_turns(
    scripted: Scripted,
) -> None:
    await scripted.say("a")
    running = collect(scripted.agent, run_input("b"))
    await until(lambda: len(scripted.link.started) == 2)
    engine = scripted.engine
    await scripted.agent.close()
    *_, last = await running
    assert isinstance(last, RunErrorEvent) and last.code == "EngineClosedError"
    saved = [each.session for each in scripted.link.commands if isinstance(each, SaveKv)]
    assert saved == scripted.link.started[:1]
    assert engine.sessions == ()


async def test_b2_a_thread_reopened_before_its_last_session_is_closed_keeps_its_context(
    scripted: Scripted,
) -> None:
    class SlowStorage(MemoryStorage):
        """A storage that writes only after the test allows it."""

        def __init__(self) -> None:
            super().__init__()
            self.may_write = asyncio.Event()
            self.may_write.set()

        async def save(self, *args: Any, **kwargs: Any) -> Any:
            await self.may_write.wait()
            return await super().save(*args, **kwargs)

    storage = SlowStorage()
    client = KoelClient(scripted.agent, storage)
    first = client.new_session("a")
    sending = asyncio.create_task(first.send("hello"))
    await until(lambda: scripted.link.started)
    scripted.link.say(scripted.link.started[0], "fine")
    storage.may_write.clear()
    closing = first.dispose()
    second = client.new_session("a", first.state)
    answering = asyncio.create_task(second.send("and?"))
    await until(lambda: len(scripted.link.started) == 2, seconds=3 * run.STOP_TIMEOUT + 5)
    storage.may_write.set()
    await closing
    scripted.link.say(scripted.link.started[-1], "whole")
    scripted.link.end(scripted.link.started[-1])
    await asyncio.gather(sending, answering)
    assert second.state.messages[-1].content == "whole" and second.state.phase is RunPhase.IDLE
    assert not second.state.messages[-1].interrupted
    assert scripted.open == ["a"] and len(scripted.open_natively) == 1
    await client.dispose()
    assert scripted.open == [] and scripted.open_natively == set()


@pytest.mark.parametrize("engine_type", [Engine, EngineHost])
async def test_b2_closing_a_tab_during_a_long_step_frees_its_engine_session(
    engine_type: type[Engine],
    starter_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "RELEASE_TIMEOUT", 0.05)
    spec = ModelSpec(starter_path, context_tokens=1024, slots=2, threads=1)
    engines: list[Engine] = []

    async def load(progress: Callable[[float], None]) -> Engine:
        engines.append(await engine_type.load(spec, max_sessions=2))
        return engines[0]

    settings = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=2)
    agent = LocalAgent(load, settings, Snapshots(tmp_path / "kv"))
    client = KoelClient(agent)
    first, second = client.new_session("a"), client.new_session("b")
    async with asyncio.timeout(DEADLINE_S):
        await first.send(LONG * 24)  # long enough for a snapshot
        events = second.events()
        reading = asyncio.create_task(second.send(LONG * 56))
        await until_reading(events)
        await first.dispose()  # released after the grace period, while the prompt of b is read
        assert [each.name for each in engines[0].sessions] == ["b"]
        third = client.new_session("c")
        await third.send("Hello")
        assert third.state.error is None and third.state.messages[-1].role == "assistant"
        await reading
        assert second.state.error is None
        assert sorted(each.name for each in engines[0].sessions) == ["b", "c"]
        await client.dispose()
        assert engines[0].sessions == ()
    await agent.close()


async def until_reading(events: AsyncIterator[Any]) -> None:
    async for event in events:
        reports = isinstance(event, CustomEvent) and event.name == ACTIVITY
        if reports and event.value["phase"] == "reading":
            return
