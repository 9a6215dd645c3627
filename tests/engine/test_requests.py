"""Requests that cannot be sent, and callers whose functions raise."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from koel_tui import paths
from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineError,
    EngineHost,
    EngineSession,
    ModelSpec,
    Sampling,
    UnsupportedError,
    wire_messages,
)
from koel_tui.engine.runner import process_transport
from koel_tui.engine.wire_messages import Crashed, Event
from tests.engine.faulty_runner import FAULT
from tests.engine.processes import until
from tests.engine.scripted import collect

QUESTION = ChatMessage("user", "abc")


@pytest_asyncio.fixture(params=[Engine, EngineHost])
async def engine(request: pytest.FixtureRequest, tiny_path: Path) -> AsyncIterator[Engine]:
    spec = ModelSpec(tiny_path, context_tokens=512, slots=2, threads=1)
    made: Engine = await request.param.load(spec)
    link: Any = made._worker._transport
    before = getattr(link, "pid", None), getattr(link, "_thread", None)
    yield made
    assert (getattr(link, "pid", None), getattr(link, "_thread", None)) == before
    await made.close()


async def opened(engine: Engine, **more: Any) -> EngineSession:
    settings: dict[str, Any] = {"sampling": Sampling(temperature=0), "max_output_tokens": 6}
    session = await engine.open_session(**{**settings, **more})
    session.add(QUESTION)
    return session


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"properties": {"x": value}}
    return value


@pytest.mark.parametrize(
    "request_of",
    [
        {"schema": {"type": "object", "default": object()}},
        {"schema": {"enum": [b"\xff"]}},
        {"schema": nested(5000)},
        {"messages": [ChatMessage("user", "abc", name=5)]},  # type: ignore[arg-type]
        {"messages": [ChatMessage("user", "abc", name=b"abc")]},  # type: ignore[arg-type]
        {"messages": [{"role": "user", "content": "abc"}]},
    ],
    ids=lambda value: next(iter(value)),
)
async def test_b7_a_request_that_cannot_be_sent_fails_alone(
    engine: Engine, request_of: dict[str, Any]
) -> None:
    session, other = await opened(engine), await opened(engine)
    async with asyncio.timeout(30):
        with pytest.raises(EngineError):
            await collect(session.stream(**request_of))
        session.stop()
        assert engine._worker._stopping == {}
        assert engine._mutex.held == 0
        assert await other.respond()
        assert await collect(session.stream([QUESTION]))


async def test_b7_a_request_beyond_the_frame_limit_fails_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, other = await opened(engine), await opened(engine)
    monkeypatch.setattr(wire_messages, "MAX_FRAME_BYTES", 100_000)
    async with asyncio.timeout(30):
        with pytest.raises(EngineError, match=r"has 0 MB, more than the 0 MB.*new thread"):
            await collect(session.stream([ChatMessage("user", "x" * 100_000)]))
        with pytest.raises(EngineError, match="more than"):
            await engine.count_tokens("x" * 100_000)
        assert engine._worker._calls == {}
        assert await other.respond()


async def test_b7_stopping_a_turn_that_cannot_be_sent_stops_no_other_turn(engine: Engine) -> None:
    running, bad = await opened(engine, max_output_tokens=400), await opened(engine)
    stream = running.stream()
    await anext(stream)
    waiting = asyncio.create_task(collect(bad.stream(schema={"default": object()})))
    await until(lambda: engine._mutex.waiting)
    bad.stop()
    await waiting
    assert len(await collect(stream)) > 1
    assert engine._mutex.held == 0


@pytest.mark.parametrize(
    "settings",
    [{"system": 5}, {"name": None}, {"thinking": "yes"}, {"tools": [5]}],
    ids=repr,
)
async def test_b4_a_setting_of_a_wrong_type_is_refused_before_it_is_sent(
    engine: Engine, settings: dict[str, Any]
) -> None:
    session = await opened(engine)
    turn = asyncio.create_task(session.respond())
    with pytest.raises((UnsupportedError, ValueError)):
        await engine.open_session(**settings)
    assert await turn
    assert engine.sessions == (session,)


async def test_b7_tools_that_cannot_be_sent_fail_their_turn(engine: Engine) -> None:
    session, other = await opened(engine, tools=[{"type": object()}]), await opened(engine)
    async with asyncio.timeout(30):
        with pytest.raises(UnsupportedError, match="cannot be sent"):
            await session.respond()
        assert await other.respond()


async def test_b8_a_progress_callback_that_raises_stops_no_load(tiny_path: Path) -> None:
    received: list[float] = []

    def fail(fraction: float) -> None:
        received.append(fraction)
        raise ZeroDivisionError

    for kind in (Engine, EngineHost):
        async with asyncio.timeout(30):
            engine = await kind.load(ModelSpec(tiny_path, threads=1), on_progress=fail)
        assert received
        received.clear()
        await engine.close()


async def test_b8_a_receiver_that_raises_gets_every_event_and_the_end(
    tmp_path: Path,
) -> None:
    events: list[Event] = []

    def receive(event: Event) -> None:
        events.append(event)
        raise ZeroDivisionError

    link = process_transport.ProcessTransport(tmp_path / "log")
    await link.open(receive)
    for number in (1, 2):
        link.send(wire_messages.CountTokens(number, "x"))
        await until(lambda number=number: len(events) == number)  # type: ignore[misc]
    link.kill("was killed by the test")
    await until(lambda: len(events) == 3)
    assert isinstance(events[-1], Crashed) and "killed by the test" in events[-1].message
    await link.close()


async def test_b8_a_turn_whose_receiver_raises_harms_no_other_turn(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await opened(engine), await opened(engine)
    whole = await second.respond()
    real = engine._worker._on_turn

    def receive(number: int, event: Event) -> None:
        real(number, event)
        raise ZeroDivisionError

    monkeypatch.setattr(engine._worker, "_on_turn", receive)
    async with asyncio.timeout(30):
        assert await first.respond() == whole


@pytest.mark.parametrize(
    "fault",
    [
        "llama_cpp:llama_decode:2",
        "llama_cpp:llama_sampler_sample:2",
        "koel_tui.engine.native.answer_writer:AnswerWriter.emit:0",
        "koel_tui.engine.native.answer.answer_parser:AnswerParser.finish:0",
        "koel_tui.engine.native.context.kv_cache:KvCache.prepare:0",
        "koel_tui.engine.native.loaded_model:AnswerParser:0",
    ],
)
async def test_b4_an_exception_in_the_runner_keeps_its_process(
    fault: str, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(module: str, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "tests.engine.faulty_runner", *arguments)

    monkeypatch.setattr(process_transport, "module_command", command)
    monkeypatch.setenv(FAULT, fault)
    host = await EngineHost.load(ModelSpec(tiny_path, context_tokens=512, slots=2, threads=1))
    link: Any = host._worker._transport
    pid = link.pid
    first, second = await opened(host), await opened(host)
    async with asyncio.timeout(60):
        with pytest.raises(EngineError, match=r"RuntimeError: .* is broken by the test.*the log"):
            await first.respond()
        assert await second.respond() == await (await opened(host)).respond()
    assert link.pid == pid and host.card is not None
    await host.close()
    log = paths.log_file().read_text()
    assert "Traceback (most recent call last)" in log and "is broken by the test" in log
