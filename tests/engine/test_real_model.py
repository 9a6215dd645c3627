"""The engine with SmolLM2 in this process: independent sessions, prefix reuse, stops, order."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    ContextOverflowError,
    Engine,
    EngineSession,
    Finished,
    ModelLoadError,
    ModelSpec,
    Progress,
    Sampling,
    TextDelta,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
GREEDY = Sampling(temperature=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(starter_path: Path) -> AsyncIterator[Engine]:
    loaded = await Engine.load(
        ModelSpec(starter_path, context_tokens=2048, slots=6, threads=1), max_sessions=None
    )
    yield loaded
    await loaded.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reference(starter_path: Path) -> AsyncIterator[Engine]:
    """An engine whose sessions are closed after use, so that no session can share a prefix."""
    loaded = await Engine.load(
        ModelSpec(starter_path, context_tokens=2048, threads=1), max_sessions=3
    )
    yield loaded
    await loaded.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session(engine: Engine) -> AsyncIterator[EngineSession]:
    opened = await engine.open_session(sampling=GREEDY, max_output_tokens=24)
    yield opened
    await opened.close()


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


async def fresh_answer(engine: Engine, messages: list[ChatMessage], tokens: int = 24) -> str:
    """Return the greedy answer of a fresh context."""
    fresh = await engine.open_session(sampling=GREEDY, max_output_tokens=tokens)
    for message in messages:
        fresh.add(message)
    answer = await fresh.respond()
    assert fresh.metrics.reused_tokens == 0
    await fresh.close()
    return answer


async def test_engine_respond_equals_the_joined_stream(
    engine: Engine, reference: Engine, session: EngineSession
) -> None:
    question = user("Name three colours.")
    pieces = [
        delta.text async for delta in session.stream([question]) if isinstance(delta, TextDelta)
    ]
    assert "".join(pieces) == await fresh_answer(reference, [question])
    assert len(pieces) > 3
    assert session.history == (question, ChatMessage("assistant", "".join(pieces)))


async def dialogue(
    engine: Engine, *questions: str, between: EngineSession | None = None
) -> list[str]:
    """Return the greedy answers of a new session, optionally with turns of `between` in between."""
    session = await engine.open_session(sampling=GREEDY, max_output_tokens=24)
    answers = []
    for question in questions:
        session.add(user(question))
        answers.append(await session.respond())
        if between is not None:
            between.add(user("Count to ten."))
            await between.respond()
    await session.close()
    return answers


async def test_engine_case_21_names_do_not_leak_between_sessions(
    engine: Engine, reference: Engine
) -> None:
    questions = {
        "Alice": ("My name is Alice. Greet me by my name.", "Repeat my name."),
        "Bob": ("Bob is my name. Greet me by my name.", "Repeat my name."),
    }
    sessions = {
        name: await engine.open_session(sampling=GREEDY, max_output_tokens=24) for name in questions
    }
    answers: dict[str, list[str]] = {name: [] for name in questions}
    for turn in range(2):
        for name, session in sessions.items():
            session.add(user(questions[name][turn]))
            answers[name].append(await session.respond())
    for name, other in (("Alice", "Bob"), ("Bob", "Alice")):
        assert name in answers[name][0]
        assert other not in "".join(answers[name])
        assert answers[name] == await dialogue(reference, *questions[name])
        await sessions[name].close()


async def test_engine_case_22_a_conditions_on_all_of_a_after_b(
    engine: Engine, reference: Engine, session: EngineSession
) -> None:
    questions = ("I have a cat called Mila.", "What is my cat called?")
    with_b = await dialogue(engine, *questions, between=session)
    assert "Mila" in with_b[1]
    assert with_b == await dialogue(reference, *questions)
    assert "Mila" not in (await dialogue(engine, questions[1]))[0]


async def test_engine_a_second_turn_reuses_the_prefix(
    engine: Engine, session: EngineSession
) -> None:
    session.add(user("I have a cat called Mila."))
    await session.respond()
    first = session.metrics
    session.add(user("What is my cat called?"))
    await session.respond()
    assert session.metrics.reused_tokens >= first.total - 1


async def test_engine_case_14_15_turns_run_one_after_the_other_in_order(engine: Engine) -> None:
    sessions = [
        await engine.open_session(str(number), sampling=GREEDY, max_output_tokens=6)
        for number in range(3)
    ]
    said: list[str] = []

    async def run(session: EngineSession) -> None:
        async for delta in session.stream([user("Say something.")]):
            if isinstance(delta, TextDelta):
                said.append(session.name)

    await asyncio.gather(*(run(session) for session in sessions))
    assert said == sorted(said)
    assert set(said) == {"0", "1", "2"}
    for session in sessions:
        await session.close()


async def test_engine_case_17_leaving_the_loop_frees_the_line(
    engine: Engine, reference: Engine, session: EngineSession
) -> None:
    count = 0
    async for delta in session.stream([user("Write a long story about the sea.")]):
        count += isinstance(delta, TextDelta)
        if count == 3:
            break
    assert await fresh_answer(reference, [user("Say hello.")])
    assert session.history[-1].role == "assistant"


async def test_engine_case_18_stop_after_token_5_gives_at_most_6(
    engine: Engine, session: EngineSession
) -> None:
    count, last = 0, None
    async for delta in session.stream([user("I have a cat called Mila.")]):
        if isinstance(delta, TextDelta):
            count += 1
            if count == 5:
                session.stop()
        last = delta
    assert 5 <= count <= 6
    assert isinstance(last, Finished) and last.reason == "stopped"
    # The received text stays, and the next turn uses the whole history.
    assert len(session.history) == 2
    session.add(user("What is my cat called?"))
    assert "Mila" in await session.respond()


async def test_engine_stop_interrupts_the_reading_of_a_prompt(
    engine: Engine, reference: Engine, session: EngineSession
) -> None:
    long_prompt = user("word " * 1500)
    phases: list[str] = []
    async for delta in session.stream([long_prompt], progress=True):
        if isinstance(delta, Progress):
            phases.append(delta.phase)
            session.stop()
    assert phases == ["reading"]
    assert session.metrics.output_tokens == 0
    assert session.history == (long_prompt,)
    assert await fresh_answer(reference, [user("Say hello.")])


async def test_engine_case_19_stop_of_b_leaves_a_alone(
    engine: Engine, reference: Engine, session: EngineSession
) -> None:
    other = await engine.open_session()
    expected = await fresh_answer(reference, [user("Name three fruits.")])
    pieces = []
    async for delta in session.stream([user("Name three fruits.")]):
        other.stop()
        if isinstance(delta, TextDelta):
            pieces.append(delta.text)
    assert "".join(pieces) == expected
    await other.close()


async def test_engine_case_26_metrics_after_3_tokens(engine: Engine) -> None:
    session = await engine.open_session(sampling=Sampling(seed=11), max_output_tokens=3)
    assert session.metrics.total == 0
    session.add(user("Tell me a story."))
    deltas = [delta async for delta in session.stream()]
    assert isinstance(deltas[-1], Finished) and deltas[-1].reason == "length"
    metrics = session.metrics
    assert metrics.output_tokens == 3
    assert metrics.total == metrics.prompt_tokens + 3
    assert metrics.seed == 11
    assert metrics.time_to_first_token_s > 0
    assert metrics.decode_tokens_per_s > 0
    await session.close()


async def test_engine_the_seed_decides_and_is_reported(engine: Engine) -> None:
    async def say(seed: int | None) -> tuple[str, int | None]:
        session = await engine.open_session(
            sampling=Sampling(temperature=1.5, seed=seed), max_output_tokens=16
        )
        session.add(user("Invent a word."))
        answer = await session.respond()
        await session.close()
        return answer, session.metrics.seed

    drawn, seed = await say(None)
    assert seed is not None
    assert await say(seed) == (drawn, seed)
    assert (await say((seed + 1) % 2**32))[0] != drawn


async def test_engine_system_prompt_goes_in_front(engine: Engine, reference: Engine) -> None:
    pirate = await engine.open_session(
        system="You are a pirate.", sampling=GREEDY, max_output_tokens=16
    )
    pirate.add(user("Who are you?"))
    as_message = [ChatMessage("system", "You are a pirate."), user("Who are you?")]
    assert await pirate.respond() == await fresh_answer(reference, as_message, tokens=16)
    await pirate.close()


async def test_engine_a_prompt_beyond_the_window_names_both_numbers(
    engine: Engine, reference: Engine, session: EngineSession
) -> None:
    with pytest.raises(ContextOverflowError, match=r"takes \d{4} tokens, the context has 2048"):
        async for _ in session.stream([user("word " * 3000)]):
            pass
    assert await fresh_answer(reference, [user("Say hello.")])


async def test_engine_counts_tokens_like_the_tokenizer(engine: Engine) -> None:
    assert await engine.count_tokens("") == 0
    assert await engine.count_tokens("hello world") == 2
    assert await engine.count_tokens("<|im_end|>") > 1  # written out, not a control token


async def test_a_partial_answer_is_continued(session: EngineSession) -> None:
    session.add(user("Count from one to ten in words."))
    session.add(ChatMessage("assistant", "One, two, three, four,"))
    added = await session.respond()
    assert added.startswith(" five, six")
    assert session.history[-1].content == "One, two, three, four," + added
    assert len(session.history) == 2


async def test_b15_a_question_added_during_an_answer_is_answered_by_the_next_turn(
    session: EngineSession,
) -> None:
    session.add(user("What is the capital of France?"))
    stream = session.stream()
    await anext(stream)
    session.add(user("And of Italy?"))
    async for _ in stream:
        pass
    assert [each.role for each in session.history] == ["user", "assistant", "user"]
    await session.respond()
    assert [each.role for each in session.history] == ["user", "assistant", "user", "assistant"]


@pytest.fixture
def broken(starter_path: Path, tmp_path: Path) -> Path:
    path = tmp_path / "broken.gguf"
    with starter_path.open("rb") as whole:
        path.write_bytes(whole.read(100_000))
    return path


async def test_engine_case_12_a_failed_load_keeps_its_reason_and_blocks_nothing(
    starter_path: Path, broken: Path
) -> None:
    with pytest.raises(ModelLoadError, match=r"broken\.gguf") as failure:
        await Engine.load(ModelSpec(broken))
    assert "no reason" not in str(failure.value)
    engine = await Engine.load(
        ModelSpec(starter_path, context_tokens=256, threads=1), max_sessions=1
    )
    await engine.close()
