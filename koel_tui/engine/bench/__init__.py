"""Measuring the engine on this machine, beside llama.cpp's own calls in a bare loop."""

from koel_tui.engine.bench.figures import QUICK, STANDARD, Figure, Plan, Report
from koel_tui.engine.bench.rounds import measure

__all__ = ["QUICK", "STANDARD", "Figure", "Plan", "Report", "measure"]
