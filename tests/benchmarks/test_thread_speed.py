"""The decode speed during and after the load of another process. Run alone: -m benchmark -s.

The reference is the bare loop with its best fixed number of threads, in the same situation and
with a context of the same length.
"""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from koel_tui.engine import ChatMessage, EngineHost, ModelSpec, Sampling, TextDelta
from koel_tui.engine.bench.bare import run_bare
from koel_tui.engine.bench.busy_process import busy_process
from tests.benchmarks.report import line, median

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
ROUNDS, ADAPTING_S, MEASURED_S, BARE_TOKENS = 5, 2.0, 3.0, 128
STORY = "Write a very long story about a lighthouse keeper and the sea, in many chapters."
CONTEXT_TOKENS = 4096
LONG = Sampling(temperature=0, logit_bias={0: -100.0, 2: -100.0})
"""Greedy sampling that bans the tokens with which the starter model ends an answer."""


@dataclass(frozen=True)
class Phase:
    """The speed in a situation after the time to adapt, and the number of tokens in the context."""

    tokens_per_s: float
    position: int


class Answer:
    """An endless answer: successive turns in one session."""

    def __init__(self, host: EngineHost) -> None:
        self.host = host
        self.position = 0

    async def measure(self, seconds: float, skipped_s: float) -> Phase:
        """Generate for some time; return the speed after the skipped time."""
        session = await self.host.open_session(sampling=LONG, max_output_tokens=3000)
        begin = time.perf_counter()
        times: list[float] = []
        while time.perf_counter() - begin < seconds:
            stream = session.stream([ChatMessage("user", STORY)])
            async for delta in stream:
                if isinstance(delta, TextDelta):
                    times.append(time.perf_counter() - begin)
                if time.perf_counter() - begin > seconds:
                    break
            await stream.aclose()
        await session.close()
        late = [each for each in times if each >= skipped_s]
        speed = (len(late) - 1) / (late[-1] - late[0])
        return Phase(speed, 40 + len(times) - len(late) // 2)


async def bare_speed(path: Path, phase: Phase) -> tuple[float, int]:
    bare = await run_bare(
        path,
        context_tokens=CONTEXT_TOKENS,
        prompt_tokens=max(8, phase.position - BARE_TOKENS // 2),
        output_tokens=BARE_TOKENS,
    )
    return bare.decode, bare.threads


async def test_decode_next_to_a_busy_process(starter_path: Path) -> None:
    spec = ModelSpec(starter_path, context_tokens=CONTEXT_TOKENS, slots=1, speculation=False)
    host = await EngineHost.load(spec, max_sessions=None)
    ratios: dict[str, list[float]] = {"alone": [], "next to a busy process": [], "after it": []}
    answer = Answer(host)
    whole = ADAPTING_S + MEASURED_S
    try:
        for _ in range(ROUNDS):
            for name, ours in ratios.items():
                async with contextlib.AsyncExitStack() as stack:
                    if name == "next to a busy process":
                        await stack.enter_async_context(busy_process())
                    phase = await answer.measure(whole, ADAPTING_S)
                    bare, threads = await bare_speed(starter_path, phase)
                ours.append(phase.tokens_per_s / bare)
                print(
                    line(name, phase.tokens_per_s, bare, "tokens/s", f"bare, {threads} threads"),
                    flush=True,
                )
    finally:
        await host.close()
    for name, ours in ratios.items():
        limit = 0.97 if name == "alone" else 0.9
        print(f"decode {name}: median ratio {median(ours):.3f} (limit {limit})")
    assert median(ratios["alone"]) >= 0.9
    assert median(ratios["next to a busy process"]) >= 0.8
    assert median(ratios["after it"]) >= 0.8
