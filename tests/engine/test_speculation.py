"""Speculation with repeated text: the same tokens as without drafts, in fewer steps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineHost,
    Finished,
    ModelSpec,
    Sampling,
    SessionMetrics,
    TextDelta,
    TurnSettings,
)
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.speculation.draft_costs import DraftCosts
from koel_tui.engine.native.weights import Model
from tests.engine.tiny_models import write_recurrent_model, write_sliding_model

LINES = (
    "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs. "
    "How vexingly quick daft zebras jump!\n"
)
TABLE = "| 1 | apple | red |\n| 2 | banana | yellow |\n| 3 | cherry | dark red |\n"
REPEATED = LINES * 4
GREEDY = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=100)
asynchronous = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def exact(model: Model, native_log: NativeLog, starter_path: Path) -> None:
    """Skip the test if this processor gives other logits for tokens that are decoded together."""
    spec = ModelSpec(starter_path, threads=1)
    with closing(Context(model, spec, native_log, slots=2, context_tokens=512)) as context:
        tokens = model.tokenize(LINES, special=False, start=True)[:24]
        (row,) = context.decode([Chunk(0, 0, tokens, wants_logits=True, drafted=8)])
        together = [logits(model, context, row + number) for number in range(9)]
        context.decode([Chunk(1, 0, tokens[:-9], wants_logits=False)])
        for number in range(9):
            position = len(tokens) - 9 + number
            (row,) = context.decode([Chunk(1, position, [tokens[position]], wants_logits=True)])
            if not np.array_equal(logits(model, context, row), together[number]):
                pytest.skip("this processor rounds differently for tokens decoded together")


def logits(model: Model, context: Context, row: int) -> NDArray[np.float32]:
    pointer = llama_cpp.llama_get_logits_ith(context.handle, row)
    return np.ctypeslib.as_array(pointer, (model.vocabulary_size,)).copy()


class Engines:
    """Two engines with the same model: one with drafts, one without."""

    def __init__(self, drafting: Engine, plain: Engine) -> None:
        self.drafting, self.plain = drafting, plain


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(starter_path: Path) -> AsyncIterator[Engines]:
    spec = ModelSpec(starter_path, context_tokens=1024, threads=1, slots=2)
    drafting = await EngineHost.load(spec, parallel=2)
    spec = ModelSpec(starter_path, context_tokens=1024, threads=1, slots=2, speculation=False)
    plain = await EngineHost.load(spec)
    yield Engines(drafting, plain)
    await drafting.close()
    await plain.close()


async def complete(
    engine: Engine, prompt: str, settings: TurnSettings = GREEDY
) -> tuple[str, str, SessionMetrics]:
    """Return the completion of a prompt, its end reason, and the metrics."""
    session = await engine.open_session()
    deltas = [delta async for delta in session.complete(prompt, settings)]
    await session.close()
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    last = deltas[-1]
    assert isinstance(last, Finished)
    return text, last.reason, last.metrics


@asynchronous
@pytest.mark.parametrize(
    "settings",
    [
        GREEDY,
        *(replace(GREEDY, max_output_tokens=limit) for limit in (1, 9, 17, 25)),
        replace(GREEDY, stop=("zebras",)),
        replace(GREEDY, stop=("\n",)),
        replace(GREEDY, sampling=Sampling(temperature=0.5, seed=3)),
        replace(GREEDY, sampling=Sampling(temperature=1.5, seed=4)),
        replace(GREEDY, sampling=Sampling(seed=5, repeat_penalty=1.05)),
        replace(GREEDY, sampling=Sampling(seed=6, dry_multiplier=0.5)),
        replace(GREEDY, sampling=Sampling(seed=7, mirostat=2)),
        replace(GREEDY, schema={"type": "string", "pattern": "^[A-Za-z0-9. ]{40,60}$"}),
    ],
)
@pytest.mark.usefixtures("exact")
async def test_an_answer_with_drafts_is_the_same(engines: Engines, settings: TurnSettings) -> None:
    drafted = await complete(engines.drafting, REPEATED, settings)
    plain = await complete(engines.plain, REPEATED, settings)
    assert drafted[:2] == plain[:2]
    assert drafted[2].output_tokens == plain[2].output_tokens
    assert plain[2].drafted_tokens == 0


@pytest.mark.asyncio
async def test_a_repetition_is_drafted_and_the_drafts_are_right(
    starter_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DraftCosts, "allow_draft", lambda _: True)
    engine = await Engine.load(ModelSpec(starter_path, context_tokens=1024, threads=1))
    text, _, metrics = await complete(engine, REPEATED)
    await engine.close()
    assert text.startswith(LINES)
    assert metrics.accepted_tokens >= 0.9 * metrics.drafted_tokens >= 0.5 * metrics.output_tokens


@asynchronous
async def test_text_without_repetition_is_not_drafted(engines: Engines) -> None:
    settings = TurnSettings(max_output_tokens=60, sampling=Sampling(temperature=1.2, seed=1))
    *_, metrics = await complete(engines.drafting, "Once upon a time", settings)
    assert metrics.drafted_tokens == 0


@asynchronous
@pytest.mark.usefixtures("exact")
async def test_the_turn_after_a_drafted_one_reuses_its_context(engines: Engines) -> None:
    question = ChatMessage("user", f"Repeat this list without a change:\n{LINES * 3}")
    answers: list[list[str]] = []
    reused = []
    for engine in (engines.drafting, engines.plain):
        session = await engine.open_session(settings=replace(GREEDY, max_output_tokens=90))
        texts = []
        for message in (question, ChatMessage("user", "Once more."), ChatMessage("user", "Again.")):
            session.add(message)
            texts.append(await session.respond())
            reused.append(session.metrics.reused_tokens)
        answers.append(texts)
        await session.close()
    assert answers[0] == answers[1]
    assert reused[:3] == reused[3:]


@asynchronous
@pytest.mark.usefixtures("exact")
async def test_answers_at_the_same_time_are_those_alone(engines: Engines) -> None:
    prompts = (REPEATED, TABLE * 6)
    alone = [(await complete(engines.plain, prompt))[0] for prompt in prompts]
    both = await asyncio.gather(*(complete(engines.drafting, prompt) for prompt in prompts))
    assert [text for text, *_ in both] == alone


@asynchronous
@pytest.mark.usefixtures("exact")
async def test_a_drafted_answer_stops_after_at_most_one_more_delta(engines: Engines) -> None:
    session = await engines.drafting.open_session(settings=GREEDY)
    after = 0
    text = ""
    stream = session.complete(REPEATED)
    stopped = False
    async for delta in stream:
        if isinstance(delta, TextDelta):
            text += delta.text
            after += stopped
            if not stopped and len(text) > 60:
                session.stop()
                stopped = True
        else:
            assert isinstance(delta, Finished) and delta.reason == "stopped"
    assert after <= 1
    assert (await complete(engines.drafting, REPEATED))[0].startswith(text)
    await session.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("exact")
async def test_a_sliding_window_answers_the_same_with_drafts(tmp_path: Path, seed: int) -> None:
    spec = ModelSpec(write_sliding_model(tmp_path / "sliding.gguf"), context_tokens=512, threads=1)
    settings = TurnSettings(max_output_tokens=150, sampling=Sampling(temperature=0.3, seed=seed))
    results = []
    for speculation in (True, False):
        engine = await Engine.load(replace(spec, speculation=speculation))
        results.append(await complete(engine, LINES, settings))
        await engine.close()
    assert results[0][:2] == results[1][:2]
    assert results[0][2].drafted_tokens > results[0][2].accepted_tokens > 0


@pytest.mark.asyncio
async def test_a_recurrent_model_drafts_nothing(tmp_path: Path) -> None:
    path = write_recurrent_model(tmp_path / "recurrent.gguf")
    engine = await Engine.load(ModelSpec(path, context_tokens=1024, threads=1))
    _, reason, metrics = await complete(engine, REPEATED)
    assert (reason, metrics.output_tokens, metrics.drafted_tokens) == ("length", 100, 0)
    await engine.close()


@pytest.mark.asyncio
@pytest.mark.usefixtures("exact")
async def test_a_memory_that_cannot_drop_a_wrong_draft_reads_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the same, and later steps have no drafts."""
    path = write_sliding_model(tmp_path / "sliding.gguf")
    spec = ModelSpec(path, context_tokens=512, threads=1)
    settings = TurnSettings(max_output_tokens=150, sampling=Sampling(temperature=0.3, seed=0))
    engine = await Engine.load(replace(spec, speculation=False))
    expected = await complete(engine, LINES, settings)
    await engine.close()
    engine = await Engine.load(spec)
    dropped = []

    def refuse(_context: Context, _sequence: int, position: int) -> bool:
        dropped.append(position)
        return False

    monkeypatch.setattr(Context, "truncate", refuse)
    answer = await complete(engine, LINES, settings)
    await engine.close()
    assert answer[:2] == expected[:2]
    assert answer[2].drafted_tokens > answer[2].accepted_tokens
    assert len([position for position in dropped if position]) == 1


def test_speculation_is_true_or_false(starter_path: Path) -> None:
    with pytest.raises(ValueError, match="speculation must be True or False, not 'yes'"):
        ModelSpec(starter_path, speculation="yes")  # type: ignore[arg-type]  # the error is tested
