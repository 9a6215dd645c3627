"""The benchmark command: it measures every figure, and its arithmetic is correct."""

from pathlib import Path

import pytest

from koel_tui.engine import EngineError
from koel_tui.engine.bench import Figure, Plan, Report, measure
from koel_tui.engine.bench.bare import run_bare
from koel_tui.engine.bench.figures import Samples


async def test_bench_measures_everything_once(tiny_path: Path) -> None:
    reported: list[str] = []
    plan = Plan(rounds=1, history_tokens=120, output_tokens=6, at_once=(2,), turns=2)
    report = await measure(tiny_path, plan, reported.append)
    names = [figure.name for figure in report.figures]
    assert names[:3] == ["load", "prefill, 120 tokens", "decode after 120 tokens"]
    for name in (
        "KV of 120 tokens",
        "switch, both resident: extra",
        "switch, one parked: extra",
        "resume from a snapshot",
        "2 answers at once, in total",
        "2 answers in sequence",
        "stop while reading 120 tokens",
    ):
        assert name in names
    assert all(figure.value > 0 for figure in report.figures if "extra" not in figure.name)
    assert reported[0] == "round 1 of 1: loading"


async def test_bench_reports_the_error_of_the_bare_loop(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model")
    with pytest.raises(EngineError, match=r"bare llama\.cpp loop ended.*broken\.gguf"):
        await run_bare(broken, context_tokens=256, prompt_tokens=8, output_tokens=2)


def test_bench_figures_are_medians_in_order_of_appearance() -> None:
    samples = Samples()
    for ours, bare in ((3.0, 1.0), (1.0, 2.0), (2.0, 4.0)):
        samples.add("speed", "tokens/s", ours, bare)
        samples.add("time", "ms", ours)
    assert samples.figures() == (
        Figure("speed", "tokens/s", 2.0, 2.0),
        Figure("time", "ms", 2.0),
    )


def test_bench_report_as_json_has_the_ratios() -> None:
    plan = Plan(rounds=1, history_tokens=10, output_tokens=4)
    report = Report("m.gguf", plan, (Figure("load", "s", 3.0, 2.0), Figure("stop", "ms", 5.0)))
    data = report.as_json()
    assert data["model"] == "m.gguf"
    assert data["plan"]["history_tokens"] == 10
    assert [each["ratio"] for each in data["figures"]] == [1.5, None]
    assert report.figure("stop").unit == "ms"
    with pytest.raises(KeyError):
        report.figure("start")
