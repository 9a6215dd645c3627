"""An exception anywhere in the worker fails only the request that it belongs to."""

import asyncio
import errno
import importlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import llama_cpp
import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineCrashedError,
    EngineError,
    EngineSession,
    ModelSpec,
    Sampling,
    TextDelta,
)
from koel_tui.engine.native import failures
from koel_tui.engine.native.context import llama_context
from koel_tui.engine.native.context.kv_cache import KvCache
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.scheduling.free_cores import FreeCores
from tests.engine import host_parts
from tests.engine.scripted import QUESTION, collect, scripted_engine, until
from tests.engine.tiny_models import write_sliding_model

SHORT = (ChatMessage("user", "abc"),)
LONG = (ChatMessage("user", "a long text, " * 10), ChatMessage("assistant", "yes"), *SHORT)
NATIVE = [name for name in host_parts.NATIVE if "adapter" not in name]
ONCE = {
    "llama_sampler_init_dry", "llama_sampler_init_grammar", "llama_sampler_init_logit_bias",
    "llama_sampler_init_mirostat", "llama_sampler_init_mirostat_v2",
    "llama_sampler_init_top_n_sigma", "llama_sampler_init_xtc", "llama_vocab_bos",
    "llama_vocab_eos", "llama_vocab_get_add_bos", "llama_vocab_get_add_eos",
}  # fmt: skip
"""The native calls that `work` makes only once."""
OWN = [
    "answer_writer:AnswerWriter.emit",
    "answer_writer:AnswerWriter.write",
    "worker:Worker._emit_memory",
    "scheduling.step_scheduler:StepScheduler.next_step",
    "worker:Worker._advance",
    "worker:Worker._end",
    "context.snapshot_thread:read_snapshot",
    "context.snapshot_thread:write_snapshot",
    "loaded_model:AnswerParser",
    "answer.answer_parser:AnswerParser.feed",
    "answer.answer_parser:AnswerParser.finish",
    "generation:Generation.metrics",
    "generation:Generation.add_token",
    "generation:Generation.next_chunk",
    "adapters:Adapters.apply",
    "context.sequence_gaps:SequenceGaps.record",
    "context.kv_cache:KvCache.prepare",
    "context.kv_cache:KvCache.copy",
    "context.kv_cache:KvCache.add_parked",
    "context.kv_cache:KvCache.memory",
    "loaded_model:LoadedModel.trim_conversation",
    "loaded_model:LoadedModel.answer",
    "loaded_model:LoadedModel.template",
    "preparation:Preparation.generation",
    "preparation:PreparationThread.start",
    "control_tokens:PromptTokenizer.tokens",
    "sampling.sampler:Sampler.close",
    "context.llama_context:Context.clear",
    "context.llama_context:Context.truncate",
    "context.llama_context:Context.load_state",
]


@pytest.fixture(scope="module")
def edges_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a tiny model that adds a token before and after each text."""
    return write_sliding_model(tmp_path_factory.mktemp("edges") / "tiny.gguf", edges=True)


@pytest_asyncio.fixture
async def engine(edges_path: Path) -> AsyncIterator[Engine]:
    spec = ModelSpec(edges_path, context_tokens=512, slots=2, threads=1)
    made = await Engine.load(spec, max_sessions=None, parallel=2)
    yield made
    await made.close()


def broken(patch: pytest.MonkeyPatch, owner: Any, name: str, at: int) -> list[str]:
    """Have a call of a function raise; return a list that gets its name when it raises."""
    real, calls, raised = getattr(owner, name), itertools.count(), list[str]()

    def faulty(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == at:
            raised.append(name)
            raise RuntimeError(f"{name} is broken")
        return real(*arguments, **keywords)

    patch.setattr(owner, name, faulty)
    return raised


async def opened(engine: Engine, **more: Any) -> EngineSession:
    sampling = Sampling(temperature=0, presence_penalty=0.001)
    return await engine.open_session(sampling=sampling, max_output_tokens=6, **more)


async def said(session: EngineSession, messages: tuple[ChatMessage, ...] = SHORT) -> str:
    pieces = [
        delta.text async for delta in session.stream(messages) if isinstance(delta, TextDelta)
    ]
    return "".join(pieces)


async def work(engine: Engine, folder: Path) -> list[Any]:
    """Run every kind of request of an engine, and return the results."""
    snapshot = folder / "thread.kv"

    async def one(messages: tuple[ChatMessage, ...]) -> list[str]:
        session = await opened(engine)
        try:
            first = await said(session, messages)
            await session.save_kv(snapshot)
            return [first, await said(session, messages)]
        finally:
            await session.close()

    async def resumed() -> list[str]:
        session = await opened(engine, kv=snapshot)
        try:
            return [await said(session, LONG)]
        finally:
            await session.close()

    async def stopped() -> list[str]:
        session = await opened(engine)
        try:
            stream = session.stream(LONG)
            await anext(stream)
            session.stop()
            await collect(stream)
            return []
        finally:
            await session.close()

    async def with_every_setting() -> list[str]:
        session = await opened(engine)
        try:
            for settings in host_parts.EVERY_TURN:
                await collect(session.stream(SHORT, settings))
            return []
        finally:
            await session.close()

    async with asyncio.timeout(30):
        return [
            *await asyncio.gather(one(SHORT), one(LONG), return_exceptions=True),
            *await asyncio.gather(resumed(), return_exceptions=True),
            *await asyncio.gather(stopped(), one(LONG), return_exceptions=True),
            *await asyncio.gather(with_every_setting(), return_exceptions=True),
            *await asyncio.gather(engine.count_tokens("abc"), return_exceptions=True),
        ]


async def check(
    engine: Engine, patch: pytest.MonkeyPatch, owner: Any, name: str, at: int, folder: Path
) -> None:
    """Run all requests with one broken function; afterwards, all results must be as before it."""
    link: Any = engine._worker._transport
    thread, bystander = link._thread, await opened(engine)
    whole = await work(engine, folder)
    assert not any(isinstance(each, Exception) for each in whole)
    kept = await said(bystander, LONG)
    samplers = 0
    with patch.context() as counted:
        freed = llama_cpp.llama_sampler_free

        def counting(made: Any) -> Any:
            def make(*arguments: Any) -> Any:
                nonlocal samplers
                sampler = made(*arguments)
                samplers += bool(sampler)
                return sampler

            return make

        def free(*arguments: Any) -> Any:
            nonlocal samplers
            samplers -= 1
            return freed(*arguments)

        for name_of_maker in ("llama_sampler_chain_init", "llama_sampler_init_grammar"):
            counted.setattr(llama_cpp, name_of_maker, counting(getattr(llama_cpp, name_of_maker)))
        counted.setattr(llama_cpp, "llama_sampler_free", free)
        with patch.context() as once:
            raised = broken(once, owner, name, at)
            for result, expected in zip(await work(engine, folder), whole, strict=True):
                if isinstance(result, Exception):
                    assert isinstance(result, EngineError)
                    assert not isinstance(result, EngineCrashedError), result
                else:
                    assert result == expected
        assert raised or at, "it was not called"
        assert await work(engine, folder) == whole
        assert await said(bystander, LONG) == kept
    await bystander.close()
    assert await engine.count_tokens("x")
    assert link._thread is thread and thread.is_alive()
    assert engine._mutex.held == engine._mutex.waiting == 0
    assert engine._known_sessions == set() == set(link._worker._running)
    await until(lambda: engine.memory.sessions == ())
    can_leak = bool(raised) and name in ("llama_sampler_free", "close")
    assert 0 <= samplers <= can_leak, "a sampler was made and never freed"


@pytest.mark.parametrize(
    ("name", "at"),
    [(name, at) for name in NATIVE for at in (0, 2, 7) if at == 0 or name not in ONCE],
)
async def test_b4_a_native_call_that_raises_fails_its_request_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str, at: int, tmp_path: Path
) -> None:
    await check(engine, monkeypatch, llama_cpp, name, at, tmp_path)


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("name", OWN)
async def test_b4_an_exception_in_the_worker_fails_its_request_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str, at: int, tmp_path: Path
) -> None:
    module, path = name.split(":")
    owner: Any = importlib.import_module(f"koel_tui.engine.native.{module}")
    *classes, attribute = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    await check(engine, monkeypatch, owner, attribute, at, tmp_path)


async def test_b4_the_error_describes_the_failure_and_the_log_has_the_traceback(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = await opened(engine)
    with monkeypatch.context() as once:
        broken(once, llama_cpp, "llama_decode", 1)
        with pytest.raises(EngineError, match=r"RuntimeError: llama_decode is broken.*Send again"):
            await said(session)
    (record,) = [each for each in caplog.records if each.exc_info]
    assert "faulty" in caplog.text and record.levelname == "ERROR"
    assert await said(session)


@pytest.mark.parametrize("free", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(KvCache, "prepare"), (llama_cpp, "llama_decode")],  # before a step, and in a step
)
async def test_b4_too_little_memory_fails_its_turn_alone_even_if_the_free_memory_is_unknown(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: Any,
    name: str,
    free: Exception,
) -> None:
    session, other = await opened(engine), await opened(engine)
    whole = await said(other)
    link: Any = engine._worker._transport
    thread = link._thread
    with monkeypatch.context() as once:
        once.setattr(owner, name, Mock(side_effect=MemoryError))
        once.setattr(failures, "free_memory", Mock(side_effect=free))
        with pytest.raises(
            EngineError, match=r"too little memory for this\. Close a thread"
        ) as told:
            await said(session)
    assert not isinstance(told.value, EngineCrashedError)
    logged = [each.exc_info[0] for each in caplog.records if each.exc_info]
    assert logged == [MemoryError, type(free)]
    assert await said(other) == await said(session) == whole
    assert link._thread is thread and thread.is_alive()


async def test_b4_a_slot_that_cannot_be_restored_after_a_failed_batch_is_read_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = await opened(engine)
    with monkeypatch.context() as once:

        def decode(*_: object) -> int:
            for name in ("truncate", "clear"):
                once.setattr(Context, name, Mock(side_effect=RuntimeError))
            return 1

        once.setattr(llama_cpp, "llama_decode", decode)
        with pytest.raises(EngineError, match="no room for the batch"):
            await said(session)
        assert "An error in dropping the tail of a sequence" in caplog.text
    assert await said(session) == await said(await opened(engine))


async def test_b4_one_of_two_turns_in_a_batch_fails_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await opened(engine), await opened(engine)
    whole = await said(first)
    with monkeypatch.context() as once:
        broken(once, llama_cpp, "llama_sampler_sample", 3)
        results = await asyncio.gather(said(first), said(second), return_exceptions=True)
    failed = [each for each in results if isinstance(each, EngineError)]
    assert len(failed) == 1 and whole in results


async def test_b4_a_copy_of_a_context_that_fails_half_way_is_not_used(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    donor, session = await opened(engine), await opened(engine)
    # The whole context of the donor, because a sliding window can use no shorter part of a copy.
    follow_up = (*LONG, ChatMessage("assistant", await said(donor, LONG)), *SHORT)
    await said(session, SHORT)
    real, copied = Context.load_state, False

    def half(self: Context, sequence: int, state: Any) -> bool:
        nonlocal copied
        copied = real(self, sequence, state)
        self.clear(sequence)
        return False

    monkeypatch.setattr(Context, "load_state", half)
    answer = await said(session, follow_up)
    assert copied and session.metrics.reused_tokens == 0
    assert answer == await said(donor, follow_up)


async def test_b33_a_turn_waits_for_a_reopening_that_fails() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    link.crash()
    await until(lambda: engine.card is None)
    link.hold_sessions = True
    saving = asyncio.create_task(session.save_kv("none.kv"))
    await until(lambda: len(link.opened_sessions) == 2)
    turn = asyncio.create_task(collect(session.stream(QUESTION)))
    await until(lambda: engine._mutex.held)
    assert link.started == [], "a turn of a session that is not open"
    link.refuse_sessions = "no room"
    link.finish_sessions_with("no room")
    with pytest.raises(EngineError, match="no room"):
        await saving
    with pytest.raises(EngineError, match="no room"):
        await turn
    assert link.started == [] and engine._mutex.held == 0
    link.refuse_sessions = None
    again = asyncio.create_task(collect(session.stream(QUESTION)))
    await until(lambda: link.started)
    link.end(session.number)
    await again
    await engine.close()


async def test_a_number_of_threads_that_cannot_be_set_fails_its_turn_alone(
    edges_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `threads`, the number follows the load of the machine and is set between steps."""
    monkeypatch.setattr(llama_context, "usable_cores", lambda: 2)
    free = 2
    monkeypatch.setattr(FreeCores, "count", lambda _: free)
    engine = await Engine.load(ModelSpec(edges_path, context_tokens=512, slots=2))
    session = await opened(engine)
    free = 1  # the context has begun with two threads
    with monkeypatch.context() as patch:
        raised = broken(patch, llama_cpp, "llama_set_n_threads", 0)
        with pytest.raises(EngineError, match="The engine failed on this request"):
            await said(session)
        assert raised
    assert await said(session) == await said(await opened(engine))
    assert session.metrics.threads == 1
    await engine.close()
