"""Snapshots are written and read on a separate thread, in the order of the requests."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from koel_tui.engine import ChatMessage, Engine, EngineError, EngineSession, ModelSpec, Sampling
from koel_tui.engine.native.context import snapshot_thread
from tests.engine.scripted import until

CAT = [ChatMessage("user", "I have a cat called Mila.")]
DEADLINE_S = 30


@pytest_asyncio.fixture
async def engine(tiny_path: Path) -> AsyncIterator[Engine]:
    made = await Engine.load(ModelSpec(tiny_path, context_tokens=512, slots=2, threads=1))
    yield made
    await made.close()


async def opened(engine: Engine, **more: Any) -> EngineSession:
    return await engine.open_session(sampling=Sampling(temperature=0), max_output_tokens=6, **more)


async def answer(session: EngineSession, before: tuple[ChatMessage, ...] = ()) -> None:
    """Let a session answer the next question after `before`."""
    async with asyncio.timeout(DEADLINE_S):
        async for _ in session.stream([*before, *CAT]):
            pass


class Gate:
    """Delays writes and reads of snapshots until it is opened."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.threads: dict[str, str] = {}
        for name in ("write_snapshot", "read_snapshot"):
            patch.setattr(snapshot_thread, name, self._gated(name, getattr(snapshot_thread, name)))

    def _gated(self, name: str, real: Any) -> Any:
        def work(*arguments: Any) -> Any:
            self.threads[name] = threading.current_thread().name
            assert self.opened.wait(DEADLINE_S)
            return real(*arguments)

        return work


async def test_turns_continue_while_a_snapshot_is_written_and_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate, path = Gate(monkeypatch), tmp_path / "1.kv"
    session, other = await opened(engine), await opened(engine)
    await answer(session)
    saving = asyncio.create_task(session.save_kv(path))
    await until(lambda: "write_snapshot" in gate.threads)
    await answer(other)
    await answer(session)
    reading = asyncio.create_task(opened(engine, kv=path))
    await answer(other)
    assert not saving.done() and not reading.done() and not path.exists()
    gate.opened.set()
    await saving
    resumed = await reading
    await answer(resumed, session.history)
    assert resumed.metrics.snapshot_misses == 0
    link: Any = engine._worker._transport
    assert set(gate.threads) == {"write_snapshot", "read_snapshot"}
    assert link._thread.name not in gate.threads.values()


async def test_a_session_opened_from_a_snapshot_still_being_written_reads_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate, path = Gate(monkeypatch), tmp_path / "1.kv"
    session = await opened(engine)
    await answer(session)
    closing = asyncio.create_task(session.close(path))
    await until(lambda: session.closed)
    opening = asyncio.create_task(opened(engine, kv=path))
    await until(lambda: "write_snapshot" in gate.threads)
    gate.opened.set()
    await closing
    resumed = await opening
    await answer(resumed, session.history)
    assert resumed.metrics.snapshot_misses == 0 and resumed.metrics.reused_tokens > 0


async def test_a_snapshot_is_complete_after_the_engine_was_closed(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = ModelSpec(tiny_path, context_tokens=512, slots=2, threads=1)
    engine = await Engine.load(spec)
    gate, path = Gate(monkeypatch), tmp_path / "1.kv"
    session = await opened(engine)
    await answer(session)
    saving = asyncio.create_task(session.save_kv(path))
    await until(lambda: "write_snapshot" in gate.threads)
    closing = asyncio.create_task(engine.close())
    with pytest.raises(EngineError):
        await saving
    assert not closing.done()
    gate.opened.set()
    await closing
    engine = await Engine.load(spec)
    resumed = await opened(engine, kv=path)
    await answer(resumed, session.history)
    assert resumed.metrics.snapshot_misses == 0
    await engine.close()


async def test_a_session_that_is_closed_while_its_snapshot_is_read_leaves_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session, path = await opened(engine), tmp_path / "1.kv"
    await answer(session)
    await session.save_kv(path)
    await session.close()
    gate = Gate(monkeypatch)
    opening = asyncio.create_task(opened(engine, kv=path))
    await until(lambda: "read_snapshot" in gate.threads)
    opening.cancel()
    await asyncio.wait([opening])
    gate.opened.set()
    await answer(await opened(engine))
    await until(lambda: len(engine.memory.sessions) == 1)


async def test_waiting_copies_are_limited(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Above the limit, copies wait for the disk, and no copy is lost."""
    monkeypatch.setattr(snapshot_thread, "_MAX_UNWRITTEN_BYTES", 1)
    session = await opened(engine)
    await answer(session)
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(session.save_kv(tmp_path / f"{number}.kv") for number in range(4)))
    assert len(list(tmp_path.glob("*.kv"))) == 4


async def test_a_file_that_cannot_be_written_fails_its_save_alone(
    engine: Engine, tmp_path: Path
) -> None:
    session = await opened(engine)
    await answer(session)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EngineError, match="Cannot write the snapshot"):
        await session.save_kv(tmp_path / "file" / "1.kv")
    await session.save_kv(tmp_path / "1.kv")
    await answer(session)
