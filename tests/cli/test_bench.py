"""The output of `koel-chat bench`."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from koel_tui.cli import bench
from koel_tui.cli.main import run
from koel_tui.engine.bench import QUICK, STANDARD, Figure, Plan, Report

REPORT = Report(
    "[red]tiny[/red].gguf",
    STANDARD,
    (
        Figure("load", "s", 0.612, 0.51),
        Figure("prefill, 2000 tokens", "tokens/s", 1329.4, 1330),
        Figure("stop while reading", "ms", 2.98),
    ),
)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The requested plans; nothing is measured."""
    asked: list[Plan] = []

    async def measure(path: Path, plan: Plan) -> Report:
        asked.append(plan)
        return REPORT

    monkeypatch.setattr(bench, "_run_bench", measure)
    return asked


def test_bench_table_shows_figures_a_person_can_read() -> None:
    console = Console(width=100)
    with console.capture() as shown:
        console.print(bench.table(REPORT))
    text = shown.get()
    assert "[red]tiny[/red].gguf" in text
    assert "0.612 s" in text and "1.20" in text
    assert "1,329 tokens/s" in text
    assert "2.98 ms" in text


def test_bench_prints_one_json_object(
    plans: list[Plan], starter_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "--json", "--quick", "--model", str(starter_path)]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(REPORT.as_json()))
    assert plans == [QUICK]


def test_bench_prints_a_table_with_an_explanation(
    plans: list[Plan], starter_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "--model", str(starter_path)]) == 0
    printed = capsys.readouterr().out
    assert "bare llama.cpp" in printed and "Medians of 3 rounds" in printed
    assert plans == [STANDARD]


def test_bench_a_missing_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--model", str(tmp_path / "absent.gguf")]) == 66
    assert "absent.gguf" in capsys.readouterr().err
