"""The time to the first token after a setting was changed. Run alone: pytest -m benchmark -s."""

from pathlib import Path

import pytest

from koel_tui.engine import EngineHost, ModelSpec, Sampling, TurnSettings
from tests.benchmarks.report import line, median
from tests.benchmarks.turns import GREEDY, ROUNDS, measured

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]


async def test_a_turn_with_a_changed_setting_compared_with_an_equal_turn(
    starter_path: Path,
) -> None:
    engine = await EngineHost.load(ModelSpec(starter_path, context_tokens=2048, slots=2))
    session = await engine.open_session(sampling=GREEDY, max_output_tokens=4)
    prompt = "I walked to the harbour and wrote down what I saw there. " * 100
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        for changed, found in zip((False, True), times, strict=True):
            sampling = Sampling(temperature=0.1 + number / 10, seed=1) if changed else GREEDY
            metrics = await measured(session, prompt, TurnSettings(sampling=sampling))
            if number:
                found.append(1000 * metrics.time_to_first_token_s)
                assert metrics.reused_tokens == metrics.prompt_tokens - 1
    await engine.close()
    print(
        "\n"
        + line(
            f"first token after a changed temperature, {metrics.prompt_tokens} tokens",
            median(times[1]),
            median(times[0]),
            "ms",
            "nothing changed",
        )
    )
