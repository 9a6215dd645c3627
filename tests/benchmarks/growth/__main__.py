"""Measures the growth of costs; writes the plots and the tables of `docs/performance.md`."""

import os
import sys
import tempfile
from pathlib import Path

from koel_tui.models.starter import starter_model
from tests.benchmarks.growth import measures
from tests.benchmarks.growth.curves import Plot

DOCS = Path(__file__).resolve().parents[3] / "docs"
MESSAGES = (10, 100, 1_000, 10_000)
TABS = (1, 10, 100, 1_000)
THREADS = (100, 1_000, 10_000)
BEGIN, END = "<!-- figures: {} -->", "<!-- end of figures -->"


def measured(folder: Path, model: Path) -> list[Plot]:
    """Measure everything; return all plots."""
    return [
        Plot(
            "growth-messages.svg",
            "A thread of 10 to 10,000 messages",
            "messages",
            "ms",
            [
                measures.prepare(model, MESSAGES),
                measures.send(folder, MESSAGES),
                *measures.store(folder, MESSAGES),
            ],
        ),
        Plot(
            "growth-writing.svg",
            "Written to the disk while an answer is written",
            "messages",
            "KB",
            [measures.stream(folder, MESSAGES)],
        ),
        Plot("growth-tabs.svg", "1 to 1,000 tabs", "tabs", "ms", measures.tabs(TABS)),
        Plot(
            "growth-threads.svg",
            "100 to 10,000 saved threads",
            "threads",
            "ms",
            measures.threads(folder, THREADS),
        ),
    ]


def with_figures(page: str, plots: list[Plot]) -> str:
    """Return the page with its tables replaced by the tables of the plots."""
    for plot in plots:
        before, begin, rest = page.partition(BEGIN.format(plot.file))
        _, end, after = rest.partition(END)
        if not end:
            raise ValueError(f"docs/performance.md has no place for {plot.file}")
        image = f"![{plot.title}]({plot.file})"
        page = f"{before}{begin}\n\n{image}\n\n{plot.table()}\n\n{end}{after}"
    return page


def main() -> None:
    """Measure everything, with data in a temporary directory."""
    model = starter_model()
    if model is None:
        sys.exit("The starter model is missing. Run this with `uv run`.")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("DATA", "CONFIG", "CACHE", "STATE"):
            os.environ[f"XDG_{name}_HOME"] = str(Path(folder) / name.lower())
        plots = measured(Path(folder), model)
    for plot in plots:
        plot.write(DOCS)
        print(plot.table(), "\n")
    page = DOCS / "performance.md"
    page.write_text(with_figures(page.read_text("utf-8"), plots), "utf-8")


if __name__ == "__main__":
    main()
