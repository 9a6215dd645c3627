"""Measured curves, written as a table and as a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pygal
from pygal.style import CleanStyle


@dataclass(frozen=True)
class Curve:
    """A cost as a function of a number, for example of messages."""

    name: str
    points: Mapping[int, float]


@dataclass(frozen=True)
class Plot:
    """A plot of curves with the same unit; `file` is the name of its SVG file."""

    file: str
    title: str
    counted: str
    unit: str
    curves: Sequence[Curve]

    def write(self, folder: Path) -> None:
        """Write the plot, with logarithmic axes, as an SVG file without scripts."""
        counts = sorted({count for curve in self.curves for count in curve.points})
        chart = pygal.XY(
            style=CleanStyle, width=760, height=440, logarithmic=True, js=(), dots_size=4,
            legend_at_bottom=True, legend_at_bottom_columns=2, truncate_legend=-1,
            legend_box_size=10, margin_bottom=20 + 20 * (len(self.curves) // 2),
            title=self.title, x_title=self.counted, y_title=self.unit,
            x_value_formatter=lambda value: f"{value:,.0f}",
        )  # fmt: skip
        chart.x_labels = counts
        for curve in self.curves:
            chart.add(curve.name, sorted(curve.points.items()))
        svg = chart.render_tree()
        for parent in svg.iter():
            for child in list(parent):
                if not isinstance(child.tag, str) or child.tag.endswith("script"):
                    parent.remove(child)  # comments and scripts
        (folder / self.file).write_bytes(ElementTree.tostring(svg) + b"\n")

    def table(self) -> str:
        """Return the figures as a Markdown table, one row for each curve."""
        counts = sorted({count for curve in self.curves for count in curve.points})
        rows = [
            [f"{self.counted} ({self.unit})", *(f"{count:,}" for count in counts)],
            ["---"] * (1 + len(counts)),
            *(
                [curve.name, *(_figure(curve.points.get(count)) for count in counts)]
                for curve in self.curves
            ),
        ]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figure(cost: float | None) -> str:
    return "" if cost is None else f"{cost:.3g}"
