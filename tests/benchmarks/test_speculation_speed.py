"""The speed of answers with and without drafts. Run alone: pytest -m benchmark -s."""

from dataclasses import replace
from pathlib import Path

import pytest

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.engine import EngineHost, EngineSession, ModelSpec, Sampling, TurnSettings
from tests.benchmarks.report import line, median
from tests.benchmarks.turns import DRAWN, GREEDY, ROUNDS, measured

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
COPIED = {
    "sentences": "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor "
    "jugs. How vexingly quick daft zebras jump!\n",
    "table": "| 1 | apple | red |\n| 2 | banana | yellow |\n| 3 | cherry | dark red |\n",
    "Latin": "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor "
    "incididunt ut labore et dolore magna aliqua.\n",
}
FREE = ("Once upon a time, in a small town by the sea,", "The history of the bicycle begins")


async def compare(path: Path, prompts: list[str], sampling: Sampling) -> tuple[float, float, float]:
    """Return the tokens per second with and without drafts, and the share of accepted tokens."""
    raw = TurnSettings(chat_template=RAW_COMPLETION, max_output_tokens=200)
    sessions: dict[bool, EngineSession] = {}
    engines = []
    for speculation in (False, True):
        spec = ModelSpec(path, context_tokens=2048, slots=2, speculation=speculation)
        engines.append(await EngineHost.load(spec))
        sessions[speculation] = await engines[-1].open_session()
    speeds: dict[bool, list[float]] = {False: [], True: []}
    drafted = accepted = 0
    for number in range(ROUNDS + 1):
        for prompt in prompts:
            settings = replace(raw, sampling=replace(sampling, seed=number))
            for speculation, session in sessions.items():
                metrics = await measured(session, prompt, settings)
                if number and metrics.output_tokens > 50:
                    speeds[speculation].append(metrics.decode_tokens_per_s)
                    drafted += metrics.drafted_tokens
                    accepted += metrics.accepted_tokens
    for engine in engines:
        await engine.close()
    return median(speeds[True]), median(speeds[False]), accepted / max(1, drafted)


async def test_an_answer_that_repeats_its_prompt(starter_path: Path) -> None:
    for name, text in COPIED.items():
        drafts, plain, share = await compare(starter_path, [text * 5], GREEDY)
        what = f"repeated {name}, {share:.0%} accepted"
        print("\n" + line(what, drafts, plain, "tokens/s", "without drafts", "1.5"))


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
async def test_drafts_of_free_text_compared_with_plain_decoding(
    starter_path: Path, sampling: Sampling
) -> None:
    drafts, plain, share = await compare(starter_path, list(FREE), sampling)
    what = f"free text, {share:.0%} accepted"
    print("\n" + line(what, drafts, plain, "tokens/s", "without drafts", "0.98"))
