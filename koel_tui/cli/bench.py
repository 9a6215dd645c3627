"""The command `koel-chat bench`, which compares the engine with bare llama.cpp calls."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.options import model_option
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from rich.table import Table

    from koel_tui.engine.bench import Plan, Report

_LEGEND = (
    "Medians of {rounds}; koel-chat and the bare llama.cpp loop take turns. The ratio is the value "
    "of koel-chat divided by that of the bare loop: for tokens/s more is better, for times and "
    "memory less. The bare loop uses the number of CPU threads that is fastest for it. Extra is "
    "the time that a switch adds to the first token. Resuming is measured to the first token, a "
    "stop to the start of the next answer. A switch to a parked thread is compared with one copy "
    "of its state out of the context and one back."
)


@click.command()
@model_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@click.option("--quick", is_flag=True, help="One short round: about a minute, rough numbers.")
def bench(model: Path | None, as_json: bool, quick: bool) -> int:
    """Measure speed and memory with your model on this computer.

    It takes some minutes. Run it while no other program is busy, because that changes the numbers
    many times over.

    \b
    Examples:
      koel-chat bench --quick
      koel-chat bench --model ~/models/qwen.gguf --json > report.json
    """
    from koel_tui.engine.bench import QUICK, STANDARD
    from koel_tui.models import choose_model
    from koel_tui.settings import load_settings

    settings = load_settings(model=model)
    path = choose_model(settings.model, settings.model_folders)
    report = asyncio.run(_run_bench(path, QUICK if quick else STANDARD))
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        _print_report(report)
    return Exit.OK


async def _run_bench(path: Path, plan: "Plan") -> "Report":
    """Measure, with a progress line on stderr."""
    from rich.console import Console

    from koel_tui.engine.bench import measure

    with Console(stderr=True).status("starting") as status:
        return await measure(path, plan, status.update)


def _print_report(report: "Report") -> None:
    from rich.console import Console

    rounds = "one round" if report.plan.rounds == 1 else f"{report.plan.rounds} rounds"
    console = Console()
    console.print(table(report))
    console.print(_LEGEND.format(rounds=rounds), style="dim", highlight=False)


def table(report: "Report") -> "Table":
    """Return the report as a table."""
    from rich.table import Table
    from rich.text import Text

    # As Text, so that a file name is not parsed as markup.
    result = Table(title=Text(safe_line(report.model)), title_justify="left")
    result.add_column("Measure")
    for heading in ("koel-chat", "bare llama.cpp"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("ratio", justify="right", no_wrap=True)
    for figure in report.figures:
        result.add_row(
            Text(figure.name),
            f"{_format_number(figure.value)} {figure.unit}",
            "" if figure.bare is None else f"{_format_number(figure.bare)} {figure.unit}",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
        )
    return result


def _format_number(value: float) -> str:
    """Return a number with three significant digits, without an exponent from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
