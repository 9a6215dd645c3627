"""A native side that returns invalid results or errors: only the affected turn fails."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineCrashedError,
    EngineError,
    EngineSession,
    Finished,
    ModelSpec,
    Sampling,
    TextDelta,
)
from koel_tui.engine.native.context.kv_cache import KvCache
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.generation import Generation
from koel_tui.engine.native.worker import Worker
from tests.engine.tiny_models import write_sliding_model
from tests.hostile_summary import Tally

QUESTION = [ChatMessage("user", "abc")]
Decode = Callable[[Any, Any], int]


@pytest_asyncio.fixture
async def engine(tiny_path: Path) -> AsyncIterator[Engine]:
    made = await Engine.load(ModelSpec(tiny_path, context_tokens=1024, slots=2, threads=1))
    yield made
    await made.close()


async def opened(engine: Engine, most: int = 12) -> EngineSession:
    return await engine.open_session(sampling=Sampling(temperature=0), max_output_tokens=most)


async def said(session: EngineSession, into: list[str] | None = None) -> str:
    pieces = [] if into is None else into
    async with asyncio.timeout(20):
        async for delta in session.stream(QUESTION):
            if isinstance(delta, TextDelta):
                pieces.append(delta.text)
    return "".join(pieces)


def failing(monkeypatch: pytest.MonkeyPatch, at: int, code: int) -> None:
    """Have the decode number `at`, counted from now, return `code` without decoding."""
    real, calls = llama_cpp.llama_decode, iter(range(10**9))

    def decode(context: Any, batch: Any) -> int:
        return code if next(calls) == at else int(real(context, batch))

    monkeypatch.setattr(llama_cpp, "llama_decode", decode)


@pytest.mark.parametrize("code", [1, 2, -1, -3])
@pytest.mark.parametrize("at", [0, 1, 2, 5])
async def test_a_failed_decode_fails_one_turn_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, code: int, at: int, tally: Tally
) -> None:
    first, second = await opened(engine), await opened(engine)
    whole = await said(first)
    fresh = await opened(engine)
    failing(monkeypatch, at, code)
    pieces: list[str] = []
    failed = asyncio.create_task(said(fresh, pieces))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(said(second))
    with pytest.raises(EngineError, match=r"no room|failed with code -?\d.*Send again"):
        await failed
    assert whole.startswith("".join(pieces)) and len(pieces) == max(0, at)
    assert await waiting == whole, "the next in line did not run, or saw what was left"
    assert await said(fresh) == whole, "what the failed batch left is still seen"
    tally("engine failure", tried=1)


async def test_an_exception_in_the_worker_fails_each_turn_and_not_the_engine(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    first, second = await opened(engine), await opened(engine)
    with monkeypatch.context() as broken:
        broken.setattr(Worker, "_advance", lambda *_: 1 / 0)
        running = asyncio.create_task(said(first))
        waiting = asyncio.create_task(said(second))
        for result in await asyncio.gather(running, waiting, return_exceptions=True):
            assert isinstance(result, EngineError) and "ZeroDivision" in str(result)
            assert not isinstance(result, EngineCrashedError)
    assert await said(second)
    tally("engine failure", tried=1)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
async def test_nan_logits_fail_the_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temperature: float, tally: Tally
) -> None:
    with monkeypatch.context() as damaged:
        damaged.setattr(np, "ones", lambda count: np.full(count, math.nan))
        path = write_sliding_model(tmp_path / "nan.gguf")
    engine = await Engine.load(ModelSpec(path, context_tokens=512, slots=2, threads=1))
    try:
        for _ in range(2):
            session = await engine.open_session(sampling=Sampling(temperature=temperature))
            with pytest.raises(EngineError, match="its weights are damaged"):
                await said(session)
        assert engine._mutex.held == 0
    finally:
        await engine.close()
    tally("engine failure", tried=2)


async def test_a_turn_after_invalid_logits_reuses_no_tokens(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    session = await opened(engine)
    whole = await said(session)
    answers = iter([True, True, False])
    with monkeypatch.context() as once:
        once.setattr(Context, "has_valid_logits", lambda *_: next(answers))
        with pytest.raises(EngineError, match="its weights are damaged"):
            await said(session)
    assert await said(session) == whole
    assert session.metrics.reused_tokens == 0
    tally("engine failure", tried=1)


async def test_an_empty_answer_is_not_recorded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    session = await opened(engine)
    monkeypatch.setattr("koel_tui.engine.native.weights.Model.ends_answer", lambda *_: True)
    deltas = [delta async for delta in session.stream(QUESTION)]
    assert [type(each) for each in deltas] == [Finished]
    assert session.history == tuple(QUESTION), "an empty answer was recorded"
    tally("engine failure", tried=1)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([b"\xf0\x9f", b"\x98", b"\x80"], "😀"),
        ([b"a\xc3", b"b"], "a\ufffdb"),
        ([b"\xff\xfe", b"x"], "\ufffd\ufffdx"),
        ([b"\xed\xa0\xbd", b"\xed\xb8\x80"], "\ufffd" * 6),
        ([b"ok", b"\xe2\x82"], "ok"),
    ],
)
async def test_bytes_that_are_not_utf_8_are_replaced(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    pieces: list[bytes],
    text: str,
    tally: Tally,
) -> None:
    session = await opened(engine, len(pieces))
    left = iter(pieces)
    real = Generation.add_token
    monkeypatch.setattr(
        Generation, "add_token", lambda self, token, _: real(self, token, next(left))
    )
    received: list[str] = []
    await said(session, received)
    assert "".join(received) == text
    for piece in received:
        piece.encode()  # never a part of a character
    tally("engine failure", tried=1)


async def test_sessions_continue_without_memory_to_park_or_copy(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tally: Tally
) -> None:
    sessions = [await opened(engine) for _ in range(3)]  # one more than there are slots
    whole = await said(sessions[0])

    def none(size: int) -> Any:
        raise MemoryError(f"{size} bytes")

    monkeypatch.setattr("koel_tui.engine.native.context.llama_context.host_buffer", none)
    for session in (*sessions, *sessions):
        assert await said(session) == whole
    with pytest.raises(EngineError, match=r"too little memory.*[\d,]+ MB are free.*Close"):
        await sessions[-1].save_kv(tmp_path / "thread.kv")
    assert list(tmp_path.glob("*.kv*")) == []
    assert await said(sessions[0]) == whole
    tally("low memory", tried=8)


async def test_a_memory_error_in_the_kv_cache_fails_one_turn_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    first, second = await opened(engine), await opened(engine)
    whole = await said(first)

    def none(*_: object) -> Any:
        raise MemoryError

    with monkeypatch.context() as short:
        short.setattr(KvCache, "prepare", none)
        with pytest.raises(EngineError, match="too little memory"):
            await said(second)
    assert await said(second) == await said(first) == whole
    tally("low memory", tried=1)
