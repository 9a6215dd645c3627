"""Growth of the context with the sessions in use: their states and answers stay the same."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import llama_cpp
import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineError,
    EngineSession,
    ModelSpec,
    Sampling,
    TextDelta,
)
from koel_tui.engine.native.context import llama_context
from tests.engine.host_parts import GROWTH
from tests.engine.lora_file import write_adapter
from tests.engine.tiny_models import WIDTH, write_sliding_model

QUESTIONS = ["Name a colour.", "Count to five.", "Name a fruit.", "Say hello.", "Name a town."]


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


async def said(session: EngineSession, text: str, tokens: int = 12) -> str:
    session.add(user(text))
    stream = session.stream()
    return "".join([delta.text async for delta in stream if isinstance(delta, TextDelta)])


async def opened(engine: Engine, **more: Any) -> EngineSession:
    return await engine.open_session(sampling=Sampling(temperature=0), max_output_tokens=8, **more)


@pytest.fixture(scope="module")
def sliding_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a tiny model with a sliding window."""
    return write_sliding_model(tmp_path_factory.mktemp("sliding") / "tiny.gguf", edges=True)


@pytest_asyncio.fixture
async def engine(sliding_path: Path) -> AsyncIterator[Engine]:
    """An engine with one slot, which grows to up to four."""
    spec = ModelSpec(sliding_path, context_tokens=512, slots=4, threads=1)
    made = await Engine.load(spec, max_sessions=None)
    yield made
    await made.close()


async def test_answers_after_growth_are_those_of_a_fresh_context(starter_path: Path) -> None:
    spec = ModelSpec(starter_path, context_tokens=512, slots=4, threads=1)
    engine = await Engine.load(spec, max_sessions=None)
    assert (engine.memory.slots, engine.memory.max_slots) == (1, 4)
    assert engine.card is not None and engine.card.slots == 4
    one_slot = engine.memory.context_bytes
    sessions, counts, answers = [], [], []
    for question in QUESTIONS[:4]:
        sessions.append(await opened(engine))
        answers.append([await said(sessions[-1], question)])
        counts.append(engine.memory.slots)
        assert engine.memory.context_bytes == counts[-1] * one_slot
    assert counts == [1, 2, 4, 4]
    for session, answer in zip(sessions, answers, strict=True):
        held = session.metrics.total
        answer.append(await said(session, "And another one?"))
        assert session.metrics.reused_tokens >= held - 2, "the moved state was not used"
    await engine.close()
    fresh = await Engine.load(ModelSpec(starter_path, context_tokens=512, slots=1, threads=1))
    for question, answer in zip(QUESTIONS, answers, strict=False):
        session = await opened(fresh)
        assert [await said(session, question), await said(session, "And another one?")] == answer
        await session.close()
    await fresh.close()


async def test_turns_at_the_same_time_have_their_slots_from_the_start(sliding_path: Path) -> None:
    spec = ModelSpec(sliding_path, context_tokens=512, slots=6, threads=1)
    engine = await Engine.load(spec, max_sessions=None, parallel=3)
    assert engine.memory.slots == 3
    sessions = [await opened(engine) for _ in range(6)]
    for _ in range(2):
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(said(each, "abc") for each in sessions))
        assert len(answers) == 6
    assert engine.memory.slots in (3, 6), "it grew while a turn was written"
    for session in sessions:
        await said(session, "abc")
    assert engine.memory.slots == 6
    await engine.close()


async def test_a_context_does_not_grow_while_an_answer_is_written(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    link: Any = engine._worker._transport
    running: list[int] = []
    real = llama_context.Context.create

    def create(self: llama_context.Context, slots: int) -> Any:
        running.append(len(link._worker._running))
        return real(self, slots)

    monkeypatch.setattr(llama_context.Context, "create", create)
    sessions = [await opened(engine) for _ in range(4)]
    await asyncio.gather(*(said(each, "abc") for each in sessions))
    assert running == [0, 0] and engine.memory.slots == 4


async def test_an_adapter_is_applied_to_the_grown_context(engine: Engine, tmp_path: Path) -> None:
    adapter = write_adapter(
        tmp_path / "a.gguf", strength=0.5, architecture="gemma3", layers=2, shape=(WIDTH, 4 * 32)
    )
    plain, adapted = await opened(engine), await opened(engine, lora=adapter)
    first = await said(adapted, "abc")
    assert await said(plain, "abc") != first, "the adapter changes nothing"
    await said(await opened(engine, lora=adapter), "abc")  # the third session
    assert engine.memory.slots == 4
    again = await opened(engine, lora=adapter)
    assert await said(again, "abc") == first
    assert await said(await opened(engine), "abc") != first


def broken(patch: pytest.MonkeyPatch, name: str, at: int, result: Any) -> list[str]:
    """Have a native call raise `result` if it is an exception type, or return it otherwise."""
    real, calls, broke = getattr(llama_cpp, name), [0], list[str]()

    def faulty(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == at + 1:
            broke.append(name)
            if isinstance(result, type) and issubclass(result, Exception):
                raise result(f"{name} is broken")
            return result
        return real(*arguments)

    patch.setattr(llama_cpp, name, faulty)
    return broke


async def check_failed_growth(engine: Engine, fault: Callable[[], list[str]]) -> None:
    """Let a growth fail; check that all sessions answer as before and reuse their contexts."""
    first = await opened(engine)
    await said(first, "abc " * 20)
    held, history = first.metrics.total, first.history
    second = await opened(engine)
    raised = fault()
    text = await said(second, "abc")
    assert raised, "nothing failed"
    again = await opened(engine)
    assert await said(again, "abc") == text
    first.add(user("more"))
    answer = await first.respond()
    assert first.metrics.reused_tokens >= held - 2 or "state_seq" in raised[0]
    fresh = await opened(engine)
    async for _ in fresh.stream([*history, user("more")]):
        pass
    assert fresh.history[-1].content == answer
    for session in (second, again, fresh, first):
        await session.close()


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
@pytest.mark.parametrize("name", GROWTH)
async def test_a_native_call_that_raises_in_a_growth_loses_no_session(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception]
) -> None:
    with monkeypatch.context() as patch:
        await check_failed_growth(engine, lambda: broken(patch, name, 0, error))
    for number in range(5):
        await said(await opened(engine), f"abc {number}")
    assert engine.memory.slots >= 2 or error is MemoryError


async def test_a_context_that_llama_cpp_refuses_keeps_the_previous_context(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        await check_failed_growth(engine, lambda: broken(patch, "llama_init_from_model", 0, None))
    assert "Cannot create a context of 2 x 512 tokens" in caplog.text
    assert (engine.memory.slots, engine.memory.max_slots) == (1, 1), "the figures are not true"


async def test_the_native_calls_of_a_growth_are_among_those_that_raise(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: set[str] = set()

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            called.add(name)
            return real(*arguments)

        return call

    link: Any = engine._worker._transport
    cache = link._worker._model.cache
    real_grow = cache._grow

    def grow(wanted: int) -> None:
        with monkeypatch.context() as patch:
            for name in dir(llama_cpp):
                real = getattr(llama_cpp, name)
                if name.startswith("llama_") and callable(real) and not isinstance(real, type):
                    patch.setattr(llama_cpp, name, watched(name, real))
            real_grow(wanted)

    monkeypatch.setattr(cache, "_grow", grow)
    for _ in range(2):
        await said(await opened(engine), "abc")
    assert called - {"llama_log_set"} == set(GROWTH)


async def test_a_growth_never_fails_a_turn_of_another_session(engine: Engine) -> None:
    sessions = [await opened(engine) for _ in range(8)]
    results = await asyncio.gather(
        *(said(each, "abc") for each in sessions), return_exceptions=True
    )
    assert not [each for each in results if isinstance(each, EngineError)]
