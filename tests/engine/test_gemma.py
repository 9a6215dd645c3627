"""Gemma 3 270M through `EngineHost`: no template, a sliding window, 262,144 tokens.

Its logits differ by up to 0.7 if a prompt is split differently. Answers of equal contexts are
therefore compared by their first letters, for a prompt whose continuation is certain.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.engine import (
    ChatMessage,
    EngineHost,
    EngineSession,
    Finished,
    ModelSpec,
    Progress,
    Sampling,
    TextDelta,
    TurnSettings,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
WINDOW = 512
"""The sliding window of the model, in tokens."""
DAYS = "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, "
LONG = DAYS * 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(gemma_path: Path) -> AsyncIterator[EngineHost]:
    """An engine with two slots: a third session parks another."""
    spec = ModelSpec(gemma_path, context_tokens=2048, slots=2, threads=1)
    loaded = await EngineHost.load(spec, max_sessions=None)
    yield loaded
    await loaded.close()


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


async def opened(engine: EngineHost, **more: object) -> EngineSession:
    options = {"sampling": Sampling(temperature=0), "max_output_tokens": 8, **more}
    return await engine.open_session(chat_template="gemma", **options)  # type: ignore[arg-type]  # a test names what it needs


async def ask(session: EngineSession, text: str) -> str:
    session.add(user(text))
    return await session.respond()


async def fresh(engine: EngineHost, messages: Sequence[ChatMessage]) -> str:
    """Return the answer of a fresh context; every other session must be closed."""
    session = await opened(engine)
    for message in messages:
        session.add(message)
    answer = await session.respond()
    assert session.metrics.reused_tokens == 0
    await session.close()
    return answer


async def check_last(engine: EngineHost, *sessions: EngineSession) -> None:
    """Close the sessions; check that each last answer begins like that of a fresh context."""
    for session in sessions:
        await session.close()
    for session in sessions:
        *before, answer = session.history
        assert answer.role == "assistant" and answer.content
        assert (await fresh(engine, before))[:4] == answer.content[:4]


async def test_gemma_answers_with_a_built_in_template(engine: EngineHost) -> None:
    session = await opened(engine)
    answer = await ask(session, "Say hello.")
    assert answer
    assert session.metrics.output_tokens <= 8
    await session.close()


async def test_gemma_a_second_turn_reuses_the_prefix_beyond_the_sliding_window(
    engine: EngineHost,
) -> None:
    session = await opened(engine)
    await ask(session, LONG)
    held = session.metrics.total
    assert held > 1.5 * WINDOW
    await ask(session, DAYS)
    assert session.metrics.reused_tokens >= held - 2
    await check_last(engine, session)


async def test_gemma_a_changed_end_reuses_the_common_prefix(engine: EngineHost) -> None:
    session = await opened(engine)
    await ask(session, LONG)
    held = session.metrics.prompt_tokens
    async for _ in session.stream([user(LONG + "January, February, March, ")]):
        pass
    assert session.metrics.reused_tokens > held - 40
    await check_last(engine, session)


async def test_gemma_stop_and_resend(engine: EngineHost) -> None:
    session = await opened(engine, max_output_tokens=64)
    reasons = []
    async for delta in session.stream([user(LONG)]):
        if isinstance(delta, TextDelta):
            session.stop()
        if isinstance(delta, Finished):
            reasons.append(delta.reason)
    assert reasons == ["stopped"]
    await ask(session, DAYS)
    assert session.metrics.reused_tokens > WINDOW
    await check_last(engine, session)


async def test_gemma_stop_while_reading_and_resend(engine: EngineHost) -> None:
    session = await opened(engine)
    async for delta in session.stream([user(LONG)], progress=True):
        if isinstance(delta, Progress) and delta.phase == "reading":
            session.stop()
    assert session.metrics.output_tokens == 0
    assert session.history == (user(LONG),)
    async for _ in session.stream([user(DAYS)]):
        pass
    await check_last(engine, session)


async def test_gemma_a_parked_session_continues(engine: EngineHost) -> None:
    sessions = [await opened(engine) for _ in range(3)]
    for text in (LONG, DAYS):
        for number, session in enumerate(sessions):
            await ask(session, f"{number}. {text}")
    assert all(session.metrics.reused_tokens > WINDOW for session in sessions)
    assert engine.memory.parked_bytes > 0
    await check_last(engine, *sessions)


async def test_gemma_a_session_continues_from_its_snapshot(
    engine: EngineHost, tmp_path: Path
) -> None:
    session = await opened(engine)
    await ask(session, LONG)
    held = session.metrics.total
    await session.save_kv(tmp_path / "thread.kv")
    await session.close()
    resumed = await opened(engine, kv=tmp_path / "thread.kv")
    async for _ in resumed.stream([*session.history, user(DAYS)]):
        pass
    assert resumed.metrics.snapshot_misses == 0
    assert resumed.metrics.reused_tokens >= held - 2
    await check_last(engine, resumed)


async def test_gemma_completes_text_without_a_template(engine: EngineHost) -> None:
    """Its file has no template: `complete` and a turn with `none` give the model only the text."""
    assert engine.card is not None and not engine.card.has_template
    session = await opened(engine)
    text = DAYS * 2 + "Monday, Tuesday,"
    deltas = [delta async for delta in session.complete(text)]
    said = "".join(each.text for each in deltas if isinstance(each, TextDelta))
    assert said.startswith(" Wednesday, Thursday")
    assert session.history == ()
    tokens = session.metrics.prompt_tokens
    raw = TurnSettings(chat_template=RAW_COMPLETION)
    deltas = [delta async for delta in session.stream([user(text)], raw)]
    again = "".join(each.text for each in deltas if isinstance(each, TextDelta))
    assert again.startswith(" Wednesday, Thursday")
    assert session.metrics.prompt_tokens == tokens < 60
    assert session.metrics.reused_tokens >= tokens - 1
    await session.close()


async def test_gemma_counts_tokens_of_its_large_vocabulary(engine: EngineHost) -> None:
    assert await engine.count_tokens("") == 0
    assert await engine.count_tokens("hello world") == 2
    assert await engine.count_tokens("<end_of_turn>") > 1  # written out, not a control token
