"""A benchmark of the engine, compared with a bare loop of llama.cpp calls."""

from koel_tui.engine.bench.figures import QUICK, STANDARD, Figure, Plan, Report
from koel_tui.engine.bench.rounds import measure

__all__ = ["QUICK", "STANDARD", "Figure", "Plan", "Report", "measure"]
