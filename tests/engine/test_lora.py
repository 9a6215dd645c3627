"""LoRA adapters of sessions: an adapter changes only its session."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineSession,
    ModelLoadError,
    ModelSpec,
    Sampling,
)
from tests.engine.lora_file import write_adapter

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "Name three colours."
LONG_SYSTEM = "You are a patient gardener who knows every plant by name. " * 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(starter_path: Path) -> AsyncIterator[Engine]:
    spec = ModelSpec(starter_path, context_tokens=512, slots=3, threads=1)
    loaded = await Engine.load(spec, max_sessions=None, parallel=2)
    yield loaded
    await loaded.close()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes the answers of the model."""
    return write_adapter(tmp_path_factory.mktemp("lora") / "loud.gguf", strength=0.02)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of zeros, which changes no answer."""
    return write_adapter(tmp_path_factory.mktemp("lora") / "silent.gguf", strength=0)


async def opened(engine: Engine, lora: Path | None, system: str | None = None) -> EngineSession:
    return await engine.open_session(
        lora=lora, system=system, sampling=Sampling(temperature=0), max_output_tokens=24
    )


async def answer(engine: Engine, lora: Path | None) -> str:
    """Return the greedy answer of a new session that shares no prefix."""
    session = await opened(engine, lora)
    session.add(ChatMessage("user", QUESTION))
    text = await session.respond()
    assert session.metrics.reused_tokens == 0
    await session.close()
    return text


async def test_lora_zeros_change_nothing_and_others_do(
    engine: Engine, adapter: Path, silent: Path
) -> None:
    without = await answer(engine, None)
    assert await answer(engine, silent) == without
    changed = await answer(engine, adapter)
    assert changed and changed != without
    assert await answer(engine, None) == without, "an adapter stays after its session"


async def test_lora_concurrent_sessions_keep_their_own_answers(
    engine: Engine, adapter: Path
) -> None:
    alone = [await answer(engine, lora) for lora in (None, adapter)]
    sessions = [await opened(engine, lora) for lora in (None, adapter)]
    for session in sessions:
        session.add(ChatMessage("user", QUESTION))
    assert await asyncio.gather(*(session.respond() for session in sessions)) == alone
    for session in sessions:
        await session.close()


async def test_lora_a_prefix_is_shared_within_an_adapter_only(
    engine: Engine, adapter: Path, silent: Path
) -> None:
    reused = []
    for lora in (adapter, None, silent, adapter):
        session = await opened(engine, lora, LONG_SYSTEM)
        session.add(ChatMessage("user", QUESTION))
        await session.respond()
        reused.append(session.metrics.reused_tokens)
        if len(reused) > 1:  # the first session stays open: the last one shares its prefix
            await session.close()
    assert reused[:3] == [0, 0, 0]
    assert reused[3] > 80
    await engine.sessions[0].close()


async def test_lora_a_parked_context_continues_with_its_adapter(
    engine: Engine, adapter: Path
) -> None:
    async def dialogue(others: int) -> list[str]:
        session = await opened(engine, adapter)
        answers = []
        for question in (QUESTION, "Which one is the darkest?"):
            session.add(ChatMessage("user", question))
            answers.append(await session.respond())
            between = [await opened(engine, None) for _ in range(others)]
            for other in between:
                other.add(ChatMessage("user", "Say hello."))
                await other.respond()
            parked = {each.session for each in engine.memory.sessions if each.parked}
            assert (session.number in parked) == (others > 2)
            for other in between:
                await other.close()
        assert session.metrics.reused_tokens > 0
        await session.close()
        return answers

    assert await dialogue(others=3) == await dialogue(others=0)


async def test_lora_a_snapshot_serves_its_own_adapter_only(
    engine: Engine, adapter: Path, silent: Path, tmp_path: Path
) -> None:
    session = await opened(engine, adapter)
    session.add(ChatMessage("user", QUESTION))
    await session.respond()
    await session.save_kv(tmp_path / "thread.kv")
    conversation = [*session.history, ChatMessage("user", "Which one is the darkest?")]
    await session.close()
    for lora in (adapter, silent, None):
        resumed = await engine.open_session(
            lora=lora, kv=tmp_path / "thread.kv", max_output_tokens=2
        )
        async for _ in resumed.stream(conversation):
            pass
        assert resumed.metrics.snapshot_misses == (lora != adapter)
        assert (resumed.metrics.reused_tokens > 0) == (lora == adapter)
        await resumed.close()


async def test_lora_an_adapter_may_be_deleted_while_it_is_in_use(
    engine: Engine, adapter: Path, tmp_path: Path
) -> None:
    path = tmp_path / "gone.gguf"
    shutil.copy(adapter, path)
    session = await opened(engine, path)
    path.unlink()
    session.add(ChatMessage("user", QUESTION))
    assert await session.respond()
    await session.save_kv(tmp_path / "thread.kv")
    await session.close()


def damaged(path: Path, damage: str, adapter: Path, model: Path) -> None:
    match damage:
        case "a folder":
            path.mkdir()
        case "text":
            path.write_text("this is no adapter")
        case "cut":
            path.write_bytes(adapter.read_bytes()[:20_000])
        case "a model":
            path.symlink_to(model)
        case "of another width":
            write_adapter(path, strength=0.02, shape=(64, 64))
        case "of more layers":
            write_adapter(path, strength=0.02, layers=32)


@pytest.mark.parametrize(
    "damage",
    [
        "missing", "a folder", "text", "cut", "a model", "of another width", "of more layers",
    ],
)  # fmt: skip
async def test_lora_a_bad_adapter_is_named_and_the_engine_keeps_running(
    engine: Engine, adapter: Path, starter_path: Path, tmp_path: Path, damage: str
) -> None:
    bad = tmp_path / "bad.gguf"
    damaged(bad, damage, adapter, starter_path)
    before = engine.sessions
    with pytest.raises(ModelLoadError, match=r"adapter .*bad\.gguf: .+\. \w") as failure:
        await opened(engine, bad)
    assert "no reason" not in str(failure.value)
    assert engine.sessions == before
    assert await answer(engine, None)
