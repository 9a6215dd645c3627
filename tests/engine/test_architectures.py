"""Models without a plain KV cache: every continued context gives the answer of a fresh one."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import llama_cpp
import pytest
import pytest_asyncio

from koel_tui.chat_templates import BUILT_IN_TEMPLATES, CHATML
from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineSession,
    ModelSpec,
    Progress,
    Sampling,
    TextDelta,
    ThinkingDelta,
)
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model
from tests.engine.tiny_models import (
    write_granite_hybrid_model,
    write_lfm2_model,
    write_recurrent_model,
    write_sliding_model,
)

asynchronous = pytest.mark.asyncio(loop_scope="module")
RECURRENT = {
    "mamba": write_recurrent_model,
    "lfm2": write_lfm2_model,
    "granite": write_granite_hybrid_model,
}
WRITERS = {**RECURRENT, "sliding": write_sliding_model}
THINKING = BUILT_IN_TEMPLATES[CHATML] + "{{ '<think>\n' }}"
TALE = "There was a keeper of a lighthouse who wrote down every ship. " * 5


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return {kind: write(folder / f"{kind}.gguf") for kind, write in WRITERS.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(WRITERS))
async def engine(tiny: dict[str, Path], request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """An engine with two slots for any number of sessions: a third session parks another."""
    spec = ModelSpec(tiny[request.param], context_tokens=2048, slots=2, threads=1)
    loaded = await Engine.load(spec, max_sessions=None, parallel=2)
    yield loaded
    await loaded.close()


async def opened(engine: Engine, **settings: object) -> EngineSession:
    return await engine.open_session(
        sampling=Sampling(temperature=0),
        max_output_tokens=16,
        **settings,  # type: ignore[arg-type]  # a test names what it needs
    )


async def ask(session: EngineSession, text: str) -> str:
    session.add(user(text))
    return await session.respond()


async def fresh(engine: Engine, messages: Sequence[ChatMessage]) -> str:
    """Return the answer of a fresh context; every other session must be closed."""
    session = await opened(engine)
    for message in messages:
        session.add(message)
    answer = await session.respond()
    assert session.metrics.reused_tokens == 0
    await session.close()
    return answer


async def check_last(engine: Engine, *sessions: EngineSession) -> None:
    """Close the sessions; check that each last answer equals that of a fresh context."""
    for session in sessions:
        await session.close()
    for session in sessions:
        *before, answer = session.history
        assert len(answer.content) == 16
        assert await fresh(engine, before) == answer.content


@asynchronous
async def test_architecture_the_prompt_determines_the_answer(engine: Engine) -> None:
    keepers = ("keeper", "warden", "ranger", "friend")
    answers = {await fresh(engine, [user(TALE.replace("keeper", each))]) for each in keepers}
    assert len(answers) > 2, "the model forgets, so these tests can see nothing"


@asynchronous
async def test_architecture_a_second_turn_reuses_the_context(engine: Engine) -> None:
    session = await opened(engine)
    await ask(session, TALE)
    held = session.metrics.total
    await ask(session, "And then?")
    assert session.metrics.reused_tokens == held - 1
    await check_last(engine, session)


@asynchronous
async def test_engine_case_23_stop_and_resend(engine: Engine) -> None:
    session = await opened(engine)
    async for delta in session.stream([user(TALE)]):
        if isinstance(delta, TextDelta):
            session.stop()
    await ask(session, "And then?")
    await check_last(engine, session)


@asynchronous
async def test_engine_case_23_stop_while_reading_and_resend(engine: Engine) -> None:
    session = await opened(engine)
    async for delta in session.stream([user(TALE * 4)], progress=True):
        if isinstance(delta, Progress):
            session.stop()
    assert session.metrics.output_tokens == 0
    async for _ in session.stream([user("And then?")]):
        pass
    await check_last(engine, session)


@asynchronous
async def test_architecture_a_regenerated_answer_and_an_edited_question_use_the_right_context(
    engine: Engine,
) -> None:
    session = await opened(engine)
    await ask(session, TALE)
    for question in (TALE, TALE + "The end."):
        async for _ in session.stream([user(question)]):
            pass
    await check_last(engine, session)


async def survivors(engine: Engine, chance: random.Random) -> list[EngineSession]:
    """Run four sessions in two slots, two turns at once, with stops, cancelled reads and closes.

    Return the three sessions that answered a last question.
    """
    sessions = [await opened(engine) for _ in range(4)]

    async def live(number: int, session: EngineSession) -> None:
        for turn in range(chance.randint(1, 3)):
            session.add(user(f"{number}, {turn}. {TALE[: chance.randint(0, len(TALE))]}"))
            fate, left = chance.choice(["answer", "stop", "leave"]), chance.randint(1, 12)
            stream = session.stream()
            async for delta in stream:
                left -= isinstance(delta, TextDelta)
                if left <= 0 and fate == "stop":
                    session.stop()
                elif left <= 0 and fate == "leave":
                    break
            await stream.aclose()
        if number == 3:
            await session.close()
        else:
            await ask(session, "And then?")

    await asyncio.gather(*(live(number, each) for number, each in enumerate(sessions)))
    for session in sessions:
        await session.close()
    return sessions[:3]


@asynchronous
@pytest.mark.parametrize(
    "engine",
    [
        "granite",
        "sliding",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("mamba", "lfm2")),
    ],
    indirect=True,
)
async def test_engine_any_real_schedule_leaves_survivors_as_if_fresh(engine: Engine) -> None:
    """A context with any wrong token gives another answer from the first letter on.

    Only the beginnings are compared, and one may differ: shared batches change the rounding of the
    logits, which can decide between two equally likely letters.
    """
    chance, strange = random.Random(7), []
    for _ in range(10):
        for session in await survivors(engine, chance):
            *before, answer = session.history
            expected = await fresh(engine, before)
            if not answer.content or answer.content[:4] != expected[:4]:
                strange.append((answer.content, expected))
    assert len(strange) <= 1, strange


@asynchronous
async def test_engine_case_23_parking(engine: Engine) -> None:
    sessions = [await opened(engine) for _ in range(3)]
    for question in (TALE, "And then?"):
        for number, session in enumerate(sessions):
            await ask(session, f"{number}. {question}")
    assert all(session.metrics.reused_tokens > 300 for session in sessions)
    assert engine.memory.parked_bytes > 0
    await check_last(engine, *sessions)


@asynchronous
async def test_engine_case_23_snapshot(engine: Engine, tmp_path: Path) -> None:
    session = await opened(engine)
    await ask(session, TALE)
    held = session.metrics.total
    await session.save_kv(tmp_path / "thread.kv")
    await session.close()
    resumed = await opened(engine, kv=tmp_path / "thread.kv")
    async for _ in resumed.stream([*session.history, user("And then?")]):
        pass
    assert resumed.metrics.reused_tokens == held - 1
    await check_last(engine, resumed)


@asynchronous
async def test_architecture_two_turns_at_once(engine: Engine) -> None:
    sessions = [await opened(engine) for _ in range(2)]
    # The numbers do not depend on earlier tests: for 1 of 300 other texts, two tokens have nearly
    # the same logits, and their order changes if two sequences are decoded together.
    questions = ((each, f"{number}. {TALE}") for number, each in enumerate(sessions, 1))
    await asyncio.gather(*(ask(*each) for each in questions))
    await asyncio.gather(*(ask(each, "And then?") for each in sessions))
    await check_last(engine, *sessions)


@asynchronous
@pytest.mark.parametrize("engine", ["sliding"], indirect=True)
async def test_architecture_memory_counts_heads_of_an_unusual_size(engine: Engine) -> None:
    layers, kv_heads, key_and_value, half_float = 2, 1, 64, 2
    token = layers * kv_heads * key_and_value * half_float
    assert engine.memory.context_bytes == 2 * 2048 * token


@asynchronous
@pytest.mark.parametrize("template", [BUILT_IN_TEMPLATES[CHATML], THINKING], ids=["plain", "think"])
@pytest.mark.parametrize("kind", RECURRENT)
async def test_report_27_a_follow_up_of_a_recurrent_model_reads_only_the_new_tokens(
    tmp_path: Path, kind: str, template: str
) -> None:
    """Holds also after a new answer, an edited question, parking and a restart."""
    path = RECURRENT[kind](tmp_path / "tiny.gguf", template)
    engine = await Engine.load(ModelSpec(path, context_tokens=2048, slots=1, threads=1))
    session = await opened(engine, thinking=True)
    history = [user(TALE * 3)]
    written = ""

    async def reads(session: EngineSession) -> int:
        """Answer the history; return the number of tokens that the turn reads."""
        nonlocal written
        written = ""
        async for delta in session.stream(history):
            if isinstance(delta, TextDelta | ThinkingDelta):
                written += delta.text
        return session.metrics.prompt_tokens - session.metrics.reused_tokens

    def ask_again(question: str) -> None:
        # The stored answer differs from the written one, like an answer without its thinking.
        history.extend([ChatMessage("assistant", "Ok."), user(question)])

    try:
        assert await reads(session) > 900
        for _ in range(4):
            ask_again("And then?")
            assert await reads(session) < 60
        assert await reads(session) < 10  # a second answer to the same question
        history[-1] = user("Why?")
        assert await reads(session) < 100
        other = await opened(engine)
        await ask(other, "Hello.")  # the only slot is needed, so the session is parked
        ask_again("And then?")
        assert await reads(session) < 60
        await session.save_kv(tmp_path / "thread.kv")
        await session.close()
        resumed = await opened(engine, kv=tmp_path / "thread.kv", thinking=True)
        ask_again("And then?")
        assert await reads(resumed) < 60
        continued = written
        await other.close()
        await resumed.close()
        fresh_session = await opened(engine, thinking=True)
        assert await reads(fresh_session) > 900
        assert continued == written != ""
    finally:
        await engine.close()


def holds_to_the_window_rule(context: Context, tokens: list[int], window: int) -> None:
    """Check that truncation works only if the cache still holds the window of the next token."""
    for begin in range(0, len(tokens), context.batch_tokens):
        chunk = tokens[begin : begin + context.batch_tokens]
        context.decode([Chunk(0, begin, chunk, wants_logits=True)])
    memory = llama_cpp.llama_get_memory(context.handle)
    oldest = llama_cpp.llama_memory_seq_pos_min(memory, 0)
    assert oldest > 0, "the cache has forgotten nothing"
    assert not context.truncate(0, oldest + window - 1)
    assert llama_cpp.llama_memory_seq_pos_max(memory, 0) == len(tokens) - 1
    assert context.truncate(0, oldest + window)
    assert llama_cpp.llama_memory_seq_pos_max(memory, 0) == oldest + window - 1


@pytest.fixture
def windowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have llama.cpp keep only the necessary part of a sliding window."""
    params = llama_cpp.llama_context_default_params()
    params.swa_full = False
    monkeypatch.setattr(llama_cpp, "llama_context_default_params", lambda: params)


def check_window_rule(path: Path, tokens: int) -> None:
    spec = ModelSpec(path, batch_tokens=256, threads=1)
    with (
        NativeLog(logging.getLogger("test")) as log,
        closing(Model(spec, log)) as model,
        closing(Context(model, spec, log, slots=2, context_tokens=2 * tokens)) as context,
    ):
        text = model.tokenize(TALE * 40, special=False, start=True)[:tokens]
        holds_to_the_window_rule(context, text, model.sliding_window)


def test_architecture_a_forgotten_window_is_not_kept(tiny: dict[str, Path], windowed: None) -> None:
    check_window_rule(tiny["sliding"], 1000)


@pytest.mark.slow
def test_architecture_a_forgotten_window_of_gemma_3_is_not_kept(
    windowed: None, gemma_path: Path
) -> None:
    check_window_rule(gemma_path, 2000)
