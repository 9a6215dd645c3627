"""The speed of answers with a JSON schema. Run alone: pytest -m benchmark -s."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.engine import EngineHost, ModelSpec, Sampling, TurnSettings
from tests.benchmarks.report import line, median
from tests.benchmarks.turns import DRAWN, GREEDY, ROUNDS, measured

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
PEOPLE: Mapping[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "mood": {"enum": ["glad", "sad", "angry"]},
        },
        "required": ["name", "age", "mood"],
    },
    "minItems": 40,
}


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
async def test_a_constrained_answer_compared_with_a_free_one(
    gemma_path: Path, sampling: Sampling
) -> None:
    """Gemma 3 270M has 262,144 tokens."""
    spec = ModelSpec(gemma_path, context_tokens=1024, slots=2)
    engine = await EngineHost.load(spec)
    session = await engine.open_session(max_output_tokens=160, sampling=sampling)
    prompt = "A list of people as JSON, with name, age and mood:\n\n"
    raw = TurnSettings(chat_template=RAW_COMPLETION)
    speeds: dict[str, list[float]] = {"free": [], "constrained": []}
    for number in range(ROUNDS + 1):
        drawn = replace(sampling, seed=number)
        for name, schema in (("free", None), ("constrained", PEOPLE)):
            settings = replace(raw, schema=schema, sampling=drawn)
            metrics = await measured(session, prompt, settings)
            if number and metrics.output_tokens > 20:
                speeds[name].append(metrics.decode_tokens_per_s)
    await engine.close()
    ours, free = median(speeds["constrained"]), median(speeds["free"])
    print("\n" + line("constrained answer, Gemma 3 270M", ours, free, "tokens/s", "free", "0.8"))
