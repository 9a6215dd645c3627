"""Snapshot files of the KV cache: shared folders, split models, other conversations."""

import mmap
from pathlib import Path
from typing import Any

import pytest

from koel_tui.engine import ChatMessage, Engine, EngineSession, ModelSpec, Sampling
from koel_tui.engine.native.context import host_buffer
from koel_tui.engine.native.context.kv_snapshot import (
    Fingerprint,
    file_id,
    read_snapshot,
    write_snapshot,
)
from koel_tui.engine.native.context.parked_contexts import ParkedContext
from koel_tui.engine.native.context.prompt_parts import MediaPart, PromptParts
from koel_tui.engine.native.context.sequence_state import SequenceState

PRINT = Fingerprint("1", "m", "f16", "")
CAT = [ChatMessage("user", "I have a cat called Mila.")]
SHIP = [ChatMessage("user", "My ship sails at nine.")]


def parked(size: int = 100) -> ParkedContext:
    state = host_buffer.host_buffer(size)
    return ParkedContext(PromptParts([1, 2, 3]), SequenceState(state))


@pytest.mark.parametrize("function", ["lstat", "stat", "unlink", "open"])
def test_b6_a_snapshot_that_another_process_removes_causes_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    for number in range(5):
        write_snapshot(tmp_path / f"{number}.kv", PRINT, parked(), 10**6)
    (tmp_path / ".old.kv.1.tmp").write_bytes(b"unfinished")
    newest, real = tmp_path / "new.kv", getattr(Path, function)

    def raced(self: Path, *arguments: Any, **keywords: Any) -> Any:
        if self != newest and self.suffix in (".kv", ".tmp") and not self.name.startswith(".new"):
            self_exists = self.exists() if function not in ("stat", "lstat") else True
            if self_exists:
                Path.rename(self, tmp_path / f"{self.name}.gone")
        return real(self, *arguments, **keywords)

    with monkeypatch.context() as race:
        race.setattr(Path, function, raced)
        write_snapshot(newest, PRINT, parked(), 50)
    assert newest.is_file()
    assert [each.name for each in tmp_path.glob("*.kv")] == ["new.kv"] or function == "stat"


def test_b6_a_missing_newest_snapshot_causes_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        done = real(self, target)
        done.unlink()
        return done

    monkeypatch.setattr(Path, "replace", replace)
    write_snapshot(tmp_path / "new.kv", PRINT, parked(), 50)


IMAGE = MediaPart("sha256:cat", 256, 4)


def test_a_snapshot_keeps_the_media_of_its_prompt(tmp_path: Path) -> None:
    path, parts = tmp_path / "1.kv", PromptParts([1, IMAGE, 2])
    state = host_buffer.host_buffer(100)
    state[:4] = b"abcd"
    write_snapshot(path, PRINT, ParkedContext(parts, SequenceState(state, 30)), 10**6)
    kept = read_snapshot(path, PRINT)
    assert kept is not None and kept.parts == parts
    assert (kept.state.data[:4], kept.state.tail) == (b"abcd", 30) and kept.parts.positions == 6


@pytest.mark.parametrize(
    "part",
    ["true", "1.5", "null", '"1"', "{}", "[]", '["a", 1]', '["a", 0, 1]', '["a", 1, -1]',
     '[1, 1, 1]', '["a", "1", 1]', '["a", 1, 1, 1]'],
)  # fmt: skip
def test_a_snapshot_with_another_kind_of_part_is_a_replay(tmp_path: Path, part: str) -> None:
    path = tmp_path / "1.kv"
    write_snapshot(path, PRINT, parked(), 10**6)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"[1, 2, 3]", f"[1, {part}, 3]".encode(), 1))
    assert read_snapshot(path, PRINT) is None
    path.write_bytes(whole)
    assert read_snapshot(path, PRINT) is not None


def test_snapshots_of_older_formats_are_removed_and_newer_ones_stay(tmp_path: Path) -> None:
    other = tmp_path / "0.kv"
    write_snapshot(other, PRINT, parked(), 10**6)
    whole = other.read_bytes()
    for number in (2, 4):
        changed = whole.replace(b"koel-chat/kv 3", f"koel-chat/kv {number}".encode(), 1)
        (tmp_path / f"format-{number}.kv").write_bytes(changed)
    (tmp_path / "foreign.kv").write_bytes(b"x")
    assert read_snapshot(tmp_path / "format-2.kv", PRINT) is None
    write_snapshot(tmp_path / "1.kv", PRINT, parked(), 10**6)
    assert sorted(path.name for path in tmp_path.glob("*.kv")) == [
        "0.kv", "1.kv", "foreign.kv", "format-4.kv",
    ]  # fmt: skip


def test_b34_the_mark_of_a_model_in_parts_covers_all_parts(tmp_path: Path) -> None:
    parts = [tmp_path / f"m-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    for part in parts:
        part.write_bytes(b"weights")
    marks = {file_id(parts[0])}
    for part in parts:
        part.write_bytes(b"weighty")
        marks.add(file_id(parts[0]))
    assert len(marks) == 4
    assert file_id(parts[0]) == file_id(parts[0])
    parts[2].unlink()
    assert file_id(parts[0]) not in marks


async def opened(engine: Engine, **more: Any) -> EngineSession:
    return await engine.open_session(sampling=Sampling(temperature=0), max_output_tokens=6, **more)


async def answered(session: EngineSession, messages: list[ChatMessage]) -> int:
    async for _ in session.stream(messages):
        pass
    return session.metrics.snapshot_misses


async def test_b27_a_snapshot_of_another_conversation_is_counted(
    starter_path: Path, tmp_path: Path
) -> None:
    engine = await Engine.load(ModelSpec(starter_path, context_tokens=512, slots=2, threads=1))
    first, kv = await opened(engine), tmp_path / "thread.kv"
    assert await answered(first, CAT) == 0
    await first.save_kv(kv)
    history = [*first.history, *SHIP]
    await first.close()
    for messages, misses in ((SHIP, 1), (CAT, 0), (history, 0), ([*CAT, *CAT], 1)):
        session = await opened(engine, kv=kv)
        assert await answered(session, messages) == misses, messages
        assert await answered(session, messages) == 0, "it is counted once"
        await session.close()
    await engine.close()


async def test_b3_a_kernel_without_huge_pages_parks_and_saves(
    starter_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain(mmap.mmap):
        def madvise(self, *_: Any) -> None:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Plain)
    engine = await Engine.load(ModelSpec(starter_path, context_tokens=512, slots=2, threads=1))
    sessions = [await opened(engine) for _ in range(3)]  # one more than there are slots
    for session in (*sessions, *sessions):
        await answered(session, CAT)
    assert all(session.metrics.reused_tokens for session in sessions)
    await sessions[0].save_kv(tmp_path / "thread.kv")
    await engine.close()


async def test_a_session_that_is_closed_with_a_budget_leaves_only_its_snapshot(
    starter_path: Path, tmp_path: Path
) -> None:
    engine = await Engine.load(ModelSpec(starter_path, context_tokens=512, slots=2, threads=1))
    for number, budget in enumerate((10**9, 10**9, 1)):
        session = await opened(engine)
        await answered(session, CAT)
        await session.close(tmp_path / f"{number}.kv", budget_bytes=budget)
        found = sorted(each.stem for each in tmp_path.glob("*.kv"))
        assert found == (["2"] if number == 2 else [str(each) for each in range(number + 1)])
    session = await opened(engine)
    with pytest.raises(ValueError, match="budget_bytes must be at least 0, not -1"):
        await session.close(tmp_path / "no.kv", budget_bytes=-1)
    await engine.close()
