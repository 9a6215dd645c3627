"""The speed of several turns at once. Run alone: pytest -m benchmark -s."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineHost,
    EngineSession,
    Finished,
    ModelSpec,
    Progress,
    Sampling,
    TextDelta,
)
from koel_tui.engine.bench.bare import run_bare
from tests.benchmarks.report import line, median

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
ROUNDS, OUTPUT_TOKENS, PROMPT_SENTENCES = 5, 96, 100
GREEDY = Sampling(temperature=0)
STORY = "Write a very long story about a lighthouse keeper and the sea, in many chapters."
NUMBERS = itertools.count(1)


async def opened(engine: Engine, output_tokens: int) -> EngineSession:
    return await engine.open_session(sampling=GREEDY, max_output_tokens=output_tokens)


def question() -> list[ChatMessage]:
    return [ChatMessage("user", f"Number {next(NUMBERS)} of my wishes. {STORY}")]


def long_question() -> list[ChatMessage]:
    text = "I walked to the harbour and back, and wrote down what I saw there. " * PROMPT_SENTENCES
    return [ChatMessage("user", f"Number {next(NUMBERS)} of my diaries. {text} {STORY}")]


class Writer:
    """A turn that generates until it is stopped, and the times of its tokens."""

    def __init__(self, session: EngineSession) -> None:
        self.session = session
        self.times: list[float] = []

    async def run(self) -> None:
        async for delta in self.session.stream(question()):
            if isinstance(delta, TextDelta):
                self.times.append(time.perf_counter())

    def between(self, begin: float, end: float) -> list[float]:
        return [each for each in self.times if begin <= each <= end]


async def read(session: EngineSession) -> tuple[float, float, float]:
    """Prefill a long prompt; return its begin and end, and the tokens per second."""
    begin = end = 0.0
    tokens_per_s = 0.0
    async for delta in session.stream(long_question(), progress=True):
        if isinstance(delta, Progress) and delta.phase == "reading":
            begin = begin or time.perf_counter()
            end = time.perf_counter()
        elif isinstance(delta, Finished):
            tokens_per_s = delta.metrics.prefill_tokens_per_s
    return begin, end, tokens_per_s


async def test_a_turn_reads_while_another_writes(starter_path: Path) -> None:
    spec = ModelSpec(starter_path, context_tokens=4096, slots=3, speculation=False)
    engine = await EngineHost.load(spec, max_sessions=None, parallel=2)
    written, was_read, gaps = [], [], []
    try:
        for _ in range(ROUNDS):
            reader = await opened(engine, 1)
            _, _, alone = await read(reader)
            await reader.close()
            writer = Writer(await opened(engine, 1500))
            writing = asyncio.create_task(writer.run())
            while len(writer.times) < 200:
                await asyncio.sleep(0.01)
            reader = await opened(engine, 1)
            began = time.perf_counter()
            begin, end, during_answer = await read(reader)
            await reader.close()
            ended, count = time.perf_counter(), len(writer.times)
            while len(writer.times) < count + 100:
                await asyncio.sleep(0.01)
            writer.session.stop()
            await writing
            await writer.session.close()
            # A longer context makes each token slower, so the speeds before and after are averaged.
            before = writer.between(writer.times[50], began)
            after = writer.between(ended + 0.1, ended + 60)
            alone_s = median([(each[-1] - each[0]) / (len(each) - 1) for each in (before, after)])
            speed_alone = 1 / alone_s
            during = writer.between(begin, end)
            speed = len(during) / (end - begin)
            gap = max(b - a for a, b in itertools.pairwise(during))
            print(line("writer", speed, speed_alone, "tokens/s", "alone"))
            print(
                line("reader", during_answer, alone, "tokens/s", "alone"), f"gap {gap * 1e3:.0f} ms"
            )
            written.append(speed / speed_alone)
            was_read.append(during_answer / alone)
            gaps.append(gap)
    finally:
        await engine.close()
    print(f"writer next to a reader: median ratio {median(written):.3f} (limit 0.45)")
    print(f"reader next to a writer: median ratio {median(was_read):.3f} (limit 0.45)")
    print(f"longest gap between two tokens: median {median(gaps) * 1e3:.0f} ms (limit 150)")
    assert min(median(written), median(was_read)) >= 0.35


async def speed_of(sessions: Sequence[EngineSession], *, at_once: bool) -> float:
    """Answer again in all sessions; return the total tokens per second."""

    async def answer(session: EngineSession, messages: list[ChatMessage]) -> int:
        tokens = 0
        async for delta in session.stream(messages):
            if isinstance(delta, Finished):
                tokens = delta.metrics.output_tokens
        return tokens

    asked = [question() for _ in sessions]
    begin = time.perf_counter()
    if at_once:
        tokens = await asyncio.gather(*map(answer, sessions, asked))
    else:
        tokens = [await answer(*each) for each in zip(sessions, asked, strict=True)]
    return sum(tokens) / (time.perf_counter() - begin)


@pytest.mark.parametrize("slots", [(0, 1, 2, 3), (0, 2, 5, 7)])
async def test_four_answers_at_once_and_in_turn(starter_path: Path, slots: tuple[int, ...]) -> None:
    spec = ModelSpec(starter_path, context_tokens=1024, slots=8, speculation=False)
    engine = await EngineHost.load(spec, max_sessions=None, parallel=4)
    ours, bare = [], []
    try:
        for _ in range(ROUNDS):
            sessions = [await opened(engine, OUTPUT_TOKENS) for _ in range(8)]
            for session in sessions:
                await speed_of([session], at_once=False)
            chosen = [sessions[slot] for slot in slots]
            in_turn = await speed_of(chosen, at_once=False)
            at_once = await speed_of(chosen, at_once=True)
            numbers = {"context_tokens": 1024, "prompt_tokens": 40, "output_tokens": OUTPUT_TOKENS}
            one = await run_bare(starter_path, **numbers)
            four = await run_bare(starter_path, **numbers, sequences=4)
            ours.append(at_once / in_turn)
            bare.append(four.decode / one.decode)
            print(line(f"4 answers in slots {slots}", at_once, in_turn, "tokens/s", "in turn"))
            print(line("4 sequences of the bare loop", four.decode, one.decode, "tokens/s", "1"))
            for session in sessions:
                await session.close()
    finally:
        await engine.close()
    print(
        f"4 answers at once in slots {slots}: median ratio {median(ours):.3f} (limit 1.3), "
        f"bare loop {median(bare):.3f}"
    )
    assert median(ours) >= 1.15
