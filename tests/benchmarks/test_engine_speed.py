"""The engine's speed, compared with llama.cpp's own calls. Run alone: pytest -m benchmark -s."""

from pathlib import Path

import pytest

from koel_tui.engine.bench import STANDARD, measure
from tests.benchmarks.report import line

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]


async def test_engine_host_compared_with_the_bare_loop(starter_path: Path) -> None:
    report = await measure(starter_path, STANDARD)
    print()
    for figure in report.figures:
        if figure.bare is None:
            print(f"{figure.name}: {figure.value:.3g} {figure.unit}")
        else:
            print(line(figure.name, figure.value, figure.bare, figure.unit, "bare loop"))
    at_once = report.figure("4 answers at once, in total").value
    in_turn = report.figure("4 answers in sequence").value
    print(line("4 answers at once", at_once, in_turn, "tokens/s", "the same in turn", "ratio 1.25"))
    assert at_once >= 1.25 * in_turn, "answers at once are hardly faster than one after the other"
    again = report.figure("switch by reading again: extra").value
    assert report.figure("switch, both resident: extra").value < again / 4, "the prefix is lost"
    assert report.figure("switch, one parked: extra").value < again / 4, "parking saves nothing"
    resumed = report.figure("resume from a snapshot").value
    assert resumed < report.figure("resume by reading again").value / 4, "the snapshot is lost"
