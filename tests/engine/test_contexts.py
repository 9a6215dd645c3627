"""Contexts with SmolLM2: slots, parking, snapshots, shared prefixes and batches."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineError,
    EngineSession,
    Finished,
    ModelLoadError,
    ModelSpec,
    Sampling,
    TextDelta,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
GREEDY = Sampling(temperature=0)
DIARY = "Here is my diary of the year. " + "I walked to the harbour with my cat Mila. " * 25


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(starter_path: Path) -> AsyncIterator[Engine]:
    """An engine with two slots for any number of sessions: a third session parks another."""
    spec = ModelSpec(starter_path, context_tokens=1024, slots=2, threads=1)
    loaded = await Engine.load(spec, max_sessions=None)
    yield loaded
    await loaded.close()


async def opened(engine: Engine, tokens: int = 12, **settings: object) -> EngineSession:
    return await engine.open_session(
        sampling=GREEDY,
        max_output_tokens=tokens,
        **settings,  # type: ignore[arg-type]  # a test names what it needs
    )


async def ask(session: EngineSession, text: str) -> str:
    session.add(user(text))
    return await session.respond()


async def close(*sessions: EngineSession) -> None:
    for session in sessions:
        await session.close()


async def test_engine_case_23_a_parked_session_continues_where_it_was(engine: Engine) -> None:
    a, b, c = [await opened(engine) for _ in range(3)]
    await ask(a, DIARY)
    held = a.metrics.total
    await ask(b, "Count to five.")
    await ask(c, "Name a colour.")
    parked = {each.session: each for each in engine.memory.sessions if each.parked}
    assert set(parked) == {a.number}
    per_token = parked[a.number].kv_bytes / held
    resident = {each.session: each for each in engine.memory.sessions if not each.parked}
    assert per_token < 1.05 * 23040, "a parked session takes more than its tokens"
    assert set(resident) == {b.number, c.number}
    assert await ask(a, "What is my cat called?")
    assert a.metrics.reused_tokens >= held - 2, "the parked context was not used"
    assert engine.memory.parked_bytes > 0  # now another session is parked
    await close(a, b, c)


async def test_engine_case_23_a_session_continues_from_its_snapshot(
    engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "kv" / "mila.kv"
    session = await opened(engine)
    await ask(session, DIARY)
    held, history = session.metrics.total, session.history
    await session.save_kv(path)
    await session.close()
    assert path.stat().st_mode & 0o077 == 0

    answers = []
    for kv in (path, None):
        resumed = await opened(engine, kv=kv)
        deltas = [d async for d in resumed.stream([*history, user("What is my cat called?")])]
        answers.append("".join(d.text for d in deltas if isinstance(d, TextDelta)))
        assert (resumed.metrics.reused_tokens >= held - 2) == (kv is not None)
        assert resumed.metrics.snapshot_misses == 0
        await resumed.close()
    assert all(answers)


@pytest.mark.parametrize("damage", ["absent", "cut", "flipped", "not ours", "other model"])
async def test_engine_a_snapshot_that_does_not_fit_is_a_silent_replay(
    engine: Engine, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "thread.kv"
    session = await opened(engine)
    await ask(session, "I have a cat called Mila.")
    history = session.history
    await session.save_kv(path)
    await session.close()
    whole = path.read_bytes()
    changed = {
        "cut": whole[:-100],
        "flipped": whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:],
        "not ours": b"\x00\xff not json\n" + whole,
        "other model": whole.replace(b'"model": "', b'"model": "x', 1),
    }
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(changed[damage])
    resumed = await opened(engine, kv=path)
    async for _ in resumed.stream([*history, user("What is my cat called?")]):
        pass
    assert resumed.metrics.reused_tokens == 0
    assert resumed.metrics.snapshot_misses == 1
    assert "Mila" in resumed.history[-1].content
    await resumed.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "kv"
    made.mkdir()
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_engine_snapshots_keep_their_budget(engine: Engine, folder: Path) -> None:
    session = await opened(engine, tokens=4)
    with pytest.raises(EngineError, match="has no context yet"):
        await session.save_kv(folder / "0.kv")
    await ask(session, "Say hello.")
    foreign = folder / "foreign.kv"
    foreign.write_bytes(b"x" * 10_000_000)
    await session.save_kv(folder / "1.kv")
    size = (folder / "1.kv").stat().st_size
    for number in (2, 3, 4):
        await session.save_kv(folder / f"{number}.kv", budget_bytes=10_000_000 + 2 * size + 100)
    left = names(folder)
    assert left == ["3.kv", "4.kv", "foreign.kv"]
    await session.close()


async def test_engine_a_shared_system_prompt_is_read_once(engine: Engine) -> None:
    system = "You are a patient gardener who knows every plant by name. " * 8
    first, second = [await opened(engine, tokens=4, system=system) for _ in range(2)]
    await ask(first, "What grows in the shade?")
    assert first.metrics.reused_tokens == 0
    await ask(second, "When do I plant beans?")
    assert second.metrics.reused_tokens > 80
    await close(first, second)


async def test_engine_case_25_the_oldest_turns_are_left_out(engine: Engine) -> None:
    session = await opened(engine, tokens=32, system="Answer in one word.")
    history = []
    for number in range(30):
        history += [user(f"Remember the number {number}. " + "word " * 40)]
        history += [ChatMessage("assistant", "Yes.")]
    last = None
    async for delta in session.stream([*history, user("Name a colour.")]):
        last = delta
    assert isinstance(last, Finished)
    assert 5 < last.trimmed_turns < 30
    assert session.metrics.prompt_tokens <= 1024 - 32
    assert len(session.history) == 62, "the history itself is trimmed"
    before = session.metrics
    await ask(session, "Name a fruit.")
    assert session.metrics.reused_tokens >= before.total - 1, "all is read again each turn"
    await session.close()


async def test_engine_answers_match_a_json_schema(engine: Engine) -> None:
    import json

    session = await opened(engine, tokens=60)
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}, "count": {"type": "integer"}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    text = ""
    async for delta in session.stream([user("Which colour, and how many?")], schema=schema):
        if isinstance(delta, TextDelta):
            text += delta.text
    answer = json.loads(text)
    assert answer["colour"] in ("red", "blue") and isinstance(answer["count"], int)
    await session.close()


async def test_engine_parallel_turns_share_batches_and_none_starves(starter_path: Path) -> None:
    spec = ModelSpec(starter_path, context_tokens=512, threads=1)
    engine = await Engine.load(spec, max_sessions=6, parallel=3)
    said: list[int] = []

    async def run(session: EngineSession, limit: int) -> int:
        count = 0
        async for delta in session.stream([user("Write a long story about the sea.")]):
            if isinstance(delta, TextDelta):
                said.append(session.number)
                count += 1
                if count == limit:
                    session.stop()
        return count

    sessions = [await opened(engine, tokens=60) for _ in range(5)]
    counts = await asyncio.gather(
        *(run(session, 20 if index == 0 else 1000) for index, session in enumerate(sessions))
    )
    assert counts[0] == 20
    first_three = {session.number for session in sessions[:3]}
    assert set(said[:9]) == first_three, "one of three turns waits for the others"
    assert set(said) == {session.number for session in sessions}
    await engine.close()


async def test_engine_memory_names_weights_and_context(engine: Engine) -> None:
    report = engine.memory
    assert 90e6 < report.weights_bytes < 110e6
    assert report.context_bytes == report.slots * 1024 * 23040
    assert report.slots <= report.max_slots == 2


async def test_engine_too_large_a_context_is_refused_with_both_numbers(starter_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"needs [\d,]+ MB and [\d,]+ MB are free"):
        await Engine.load(ModelSpec(starter_path, context_tokens=2_000_000, slots=8))
