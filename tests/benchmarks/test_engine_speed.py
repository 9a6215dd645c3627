"""How fast the engine is beside llama.cpp's own calls. Run alone: pytest -m benchmark -s."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from koel_tui.engine import (
    ChatMessage,
    EngineHost,
    EngineSession,
    Finished,
    ModelSpec,
    Sampling,
    TextDelta,
)
from tests.benchmarks.report import line, median

pytestmark = pytest.mark.benchmark
ROUNDS, WINDOW, OUTPUT = 7, 2048, 160
QUESTION = "Write a very long story about a lighthouse keeper and the sea, in many chapters."
BARE_LOOP = Path(__file__).with_name("bare_loop.py")


def bare(model: Path, prompt: Path) -> dict[str, float]:
    command = [sys.executable, str(BARE_LOOP), str(model), str(prompt)]
    result = subprocess.run(
        [*command, str(WINDOW), str(OUTPUT), "1"], check=True, capture_output=True, text=True
    )
    (figures,) = json.loads(result.stdout)
    return dict(figures)


async def timed(session: EngineSession, messages: list[ChatMessage]) -> dict[str, float]:
    begin = time.perf_counter()
    first = last = 0.0
    finished: Finished | None = None
    async for delta in session.stream(messages):
        if isinstance(delta, TextDelta):
            last = time.perf_counter()
            first = first or last
        elif isinstance(delta, Finished):
            finished = delta
    assert finished is not None
    tokens = finished.metrics.output_tokens
    return {
        "prefill": finished.metrics.prompt_tokens / (first - begin),
        "decode": (tokens - 1) / (last - first),
        "tokens": tokens,
        "first": first - begin,
        "reused": finished.metrics.reused_tokens,
    }


async def test_engine_host_beside_the_bare_loop(starter_path: Path, tmp_path: Path) -> None:
    host = await EngineHost.load(ModelSpec(starter_path, context_tokens=WINDOW), max_sessions=8)
    ours, reference = [], []
    messages = [ChatMessage("user", QUESTION)]
    prompt = tmp_path / "prompt"
    prompt.write_text(
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        f"<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    )
    for _ in range(ROUNDS):
        reference.append(bare(starter_path, prompt))
        session = await host.open_session(
            sampling=Sampling(temperature=0), max_output_tokens=OUTPUT
        )
        ours.append(await timed(session, messages))
        await session.close()
    await host.close()
    assert {each["tokens"] for each in ours} == {each["tokens"] for each in reference}
    print()
    for what in ("decode", "prefill"):
        print(
            line(
                f"{what} through EngineHost",
                median([each[what] for each in ours]),
                median([each[what] for each in reference]),
                "tokens/s",
                "bare loop",
            )
        )


async def test_a_second_turn_beside_a_first_turn_of_equal_history(starter_path: Path) -> None:
    """Key to first token: a turn whose prefix is held against one that reads it all."""
    host = await EngineHost.load(ModelSpec(starter_path, context_tokens=WINDOW), max_sessions=2)
    history = [
        ChatMessage("user", "Here is my diary. " + "I walked to the harbour and back. " * 120),
        ChatMessage("assistant", "Thank you for sharing it."),
        ChatMessage("user", "Where did I walk?"),
    ]
    held, unheld = [], []
    for _ in range(5):
        session = await host.open_session(sampling=Sampling(temperature=0), max_output_tokens=4)
        await timed(session, history[:1])
        held.append(await timed(session, history))
        await session.close()
        session = await host.open_session(sampling=Sampling(temperature=0), max_output_tokens=4)
        unheld.append(await timed(session, history))
        await session.close()
    await host.close()
    second, first = (
        median([each["first"] for each in held]),
        median([each["first"] for each in unheld]),
    )
    print()
    print(line("time to first token, second turn", second, first, "s", "first turn, same history"))
    print(f"tokens reused: {held[-1]['reused']:.0f}")
    assert held[-1]["reused"] > 500
    assert second < first / 4, "the prefix is not reused"
