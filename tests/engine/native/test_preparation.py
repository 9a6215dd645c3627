"""Prompts are prepared on a separate thread: other turns continue, and a stop does not wait."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineClosedError,
    EngineCrashedError,
    EngineError,
    EngineSession,
    Finished,
    ModelSpec,
    Sampling,
    TextDelta,
)
from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.native.prompt.template_process import Renderer, RenderError
from koel_tui.engine.native.worker import Worker
from koel_tui.engine.wire_messages import (
    Event,
    Failed,
    Load,
    Loaded,
    OpenSession,
    Shutdown,
    StartTurn,
    StopTurn,
    TurnEnded,
)
from tests.engine.scripted import collect, until

HELD = "held"
STORY = (ChatMessage("user", "Write a long story about a ship."),)
QUESTION = (ChatMessage("user", "Say hello."),)
OTHER = (ChatMessage("user", "Name a colour."),)
LONG = tuple(
    ChatMessage(role, f"Number {number}. " + "The ship sails on. " * 6)
    for number in range(20)
    for role in ("user", "assistant")
)
HELD_QUESTION = (ChatMessage("user", f"Say hello, {HELD}."),)


class Gate:
    """Blocks the preparation of each conversation that contains a word until it is opened."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.prompts = 0
        real = LoadedModel.prompt

        def prompt(loaded: LoadedModel, messages: Any, settings: Any) -> list[int]:
            if HELD in messages[-1].content:
                self.prompts += 1
                self.reached.set()
                assert self.opened.wait(60)
            return real(loaded, messages, settings)

        patch.setattr(LoadedModel, "prompt", prompt)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest_asyncio.fixture
async def engine(starter_path: Path, gate: Gate) -> AsyncIterator[Engine]:
    spec = ModelSpec(starter_path, context_tokens=512, slots=3, threads=1)
    made = await Engine.load(spec, max_sessions=None, parallel=2)
    yield made
    gate.opened.set()
    await made.close()


async def opened(engine: Engine, tokens: int = 8) -> EngineSession:
    return await engine.open_session(sampling=Sampling(temperature=0), max_output_tokens=tokens)


async def said(session: EngineSession, messages: tuple[ChatMessage, ...] = QUESTION) -> str:
    async with asyncio.timeout(60):
        deltas = await collect(session.stream(messages))
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def worker_of(engine: Engine) -> Worker:
    link: Any = engine._worker._transport
    worker: Worker = link._worker
    return worker


async def test_another_turn_is_written_while_a_prompt_is_prepared(
    engine: Engine, gate: Gate
) -> None:
    writer, reader = await opened(engine, 200), await opened(engine)
    writing = writer.stream(STORY)
    await anext(writing)
    reading = asyncio.create_task(said(reader, HELD_QUESTION))
    await until(gate.reached.is_set, 30)
    async with asyncio.timeout(60):
        for _ in range(20):
            await anext(writing)
    assert not reading.done()
    gate.opened.set()
    held = await reading
    await writing.aclose()
    assert held and held == await said(await opened(engine), HELD_QUESTION)


async def test_a_stop_ends_a_turn_whose_prompt_is_prepared(engine: Engine, gate: Gate) -> None:
    session, other = await opened(engine), await opened(engine)
    whole = await said(session)
    reading = asyncio.create_task(collect(session.stream(HELD_QUESTION)))
    await until(gate.reached.is_set, 30)
    session.stop()
    async with asyncio.timeout(30):
        (last,) = await reading
    assert isinstance(last, Finished) and last.reason == "stopped"
    assert not gate.opened.is_set() and engine._mutex.held == 0
    assert session.history == HELD_QUESTION
    waiting = asyncio.create_task(said(other))
    gate.opened.set()
    assert await waiting == whole == await said(session)
    assert gate.prompts == 1, "a stopped turn was prepared further"
    assert worker_of(engine)._running == {}


@pytest.mark.parametrize("close", ["close", "close and save", "abandon"])
async def test_a_session_that_is_closed_while_its_prompt_is_prepared_leaves_nothing(
    engine: Engine, gate: Gate, close: str, tmp_path: Path
) -> None:
    session, other = await opened(engine), await opened(engine)
    whole = await said(session)
    stream = session.stream(HELD_QUESTION)
    reading = asyncio.create_task(collect(stream))
    await until(gate.reached.is_set, 30)
    if close == "abandon":
        await stream.aclose()
    await session.close(tmp_path / "saved.kv" if close == "close and save" else None)
    async with asyncio.timeout(30):
        (last,) = await reading
    assert isinstance(last, Finished) and last.reason == "stopped"
    await until(lambda: engine.memory.sessions == (), 30)
    gate.opened.set()
    assert await said(other) == whole
    worker = worker_of(engine)
    assert worker._running == {} and worker._preparations.sessions == set()
    assert [each.session for each in engine.memory.sessions] == [other.number]
    assert engine._mutex.held == 0


async def test_an_engine_that_is_closed_while_a_prompt_is_prepared_ends(
    engine: Engine, gate: Gate
) -> None:
    session, link = await opened(engine), engine._worker._transport
    thread: threading.Thread = getattr(link, "_thread")  # noqa: B009
    reading = asyncio.create_task(said(session, HELD_QUESTION))
    await until(gate.reached.is_set, 30)
    closing = asyncio.create_task(engine.close())
    with pytest.raises(EngineClosedError):
        await reading
    gate.opened.set()
    async with asyncio.timeout(30):
        await closing
    assert not thread.is_alive()
    assert "koel prompts" not in [each.name for each in threading.enumerate()]


async def test_a_template_that_fails_fails_its_turn_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = await opened(engine, 40), await opened(engine)
    story, whole = await said(writer, STORY), await said(reader)
    real = Renderer.render

    def render(renderer: Renderer, variables: Any) -> str:
        if "fail" in variables["messages"][-1]["content"]:
            raise RenderError("it is broken")
        return real(renderer, variables)

    monkeypatch.setattr(Renderer, "render", render)
    writing = asyncio.create_task(said(writer, STORY))
    with pytest.raises(EngineError, match=r"chat template of .* failed .*: it is broken"):
        await said(reader, (ChatMessage("user", "fail"),))
    assert await said(reader) == whole
    assert await writing == story
    assert engine._mutex.held == 0


async def test_an_unforeseen_error_in_a_preparation_fails_its_turn_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = await opened(engine, 40), await opened(engine)
    story, whole = await said(writer, STORY), await said(reader)
    writing = writer.stream(STORY)
    first = await anext(writing)
    with monkeypatch.context() as once:
        once.setattr(LoadedModel, "checkpoint_tokens", lambda *_: 1 / 0)
        with pytest.raises(EngineError, match="ZeroDivisionError") as told:
            await said(reader)
    assert not isinstance(told.value, EngineCrashedError)
    deltas = [first, *await collect(writing)]
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == story
    assert await said(reader) == whole
    assert await said(writer, STORY) == story


async def test_two_sessions_at_once_are_answered_as_alone(engine: Engine) -> None:
    """Compares two tokens: on some processors, later ones differ in a shared batch."""
    first, second = await opened(engine, 2), await opened(engine, 2)
    alone = await said(first, (*LONG, *QUESTION)), await said(second, (*LONG[2:], *OTHER))
    third, fourth = await opened(engine, 2), await opened(engine, 2)
    both = await asyncio.gather(said(third, (*LONG, *QUESTION)), said(fourth, (*LONG[2:], *OTHER)))
    assert tuple(both) == alone
    assert third.metrics.prompt_tokens == first.metrics.prompt_tokens < 512


class Events:
    """A worker on its own thread, and the events that it sends."""

    def __init__(self, load: Load) -> None:
        self._received: list[Event] = []
        self._arrived = threading.Condition()
        self.worker = Worker(self._receive)
        self.thread = threading.Thread(target=self.worker.run, daemon=True)
        self.thread.start()
        self.worker.post(load)
        self.wait(Loaded)

    def _receive(self, event: Event) -> None:
        with self._arrived:
            self._received.append(event)
            self._arrived.notify_all()

    def wait(self, kind: type[Event]) -> Any:
        """Return the first event of a kind that was not returned yet."""
        with self._arrived:
            assert self._arrived.wait_for(
                lambda: any(isinstance(each, kind) for each in self._received), 60
            )
            event = next(each for each in self._received if isinstance(each, kind))
            self._received.remove(event)
            return event

    def taken(self, kind: type[Event]) -> list[Any]:
        """Return the events of a kind that were not returned yet."""
        with self._arrived:
            return [each for each in self._received if isinstance(each, kind)]


def test_a_session_whose_prompt_is_prepared_is_busy(starter_path: Path, gate: Gate) -> None:
    spec = ModelSpec(starter_path, context_tokens=512, slots=2, threads=1)
    events = Events(Load(spec, 2, 2))
    events.worker.post(OpenSession(1, session=7))
    events.worker.post(StartTurn(2, 7, HELD_QUESTION))
    assert gate.reached.wait(30)
    events.worker.post(StartTurn(3, 7, QUESTION))
    failed = events.wait(Failed)
    assert failed.call == 3 and "already generating" in failed.message
    events.worker.post(StopTurn(2))
    ended = events.wait(TurnEnded)
    assert (ended.turn, ended.reason) == (2, "stopped")
    events.worker.post(StartTurn(4, 7, QUESTION))
    gate.opened.set()
    assert events.wait(TurnEnded).turn == 4
    events.worker.post(StartTurn(5, 7, HELD_QUESTION))
    events.worker.post(Shutdown())
    events.thread.join(60)
    assert not events.thread.is_alive()
