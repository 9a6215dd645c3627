"""The plan and the results of a benchmark."""

import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Unit = Literal["s", "ms", "MB", "tokens/s", "threads"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The amount to measure. `history_tokens` is the approximate length of the threads.

    `at_once` has the numbers of concurrent answers, `turns` is how often each is measured in a
    round: concurrent and sequential runs alternate, so that other load affects both equally.
    """

    rounds: int
    history_tokens: int
    output_tokens: int
    at_once: tuple[int, ...] = (1, 4)
    turns: int = 4

    @property
    def context_tokens(self) -> int:
        """Context size in tokens, enough for all measurements."""
        return self.history_tokens + self.output_tokens + 512


STANDARD = Plan(rounds=3, history_tokens=2000, output_tokens=96)
QUICK = Plan(rounds=1, history_tokens=400, output_tokens=24, turns=2)


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of one measure, and that of the bare loop if it has the same measure."""

    name: str
    unit: Unit
    value: float
    bare: float | None = None

    @property
    def ratio(self) -> float | None:
        """Engine divided by bare loop; above 1 is better for speeds, worse for times."""
        return self.value / self.bare if self.bare else None


@dataclass(frozen=True, slots=True)
class Report:
    """All results of one run, in display order."""

    model: str
    plan: Plan
    figures: tuple[Figure, ...]

    def figure(self, name: str) -> Figure:
        """Return a figure by name. Raises KeyError."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON data, ratios included."""
        figures = [{**asdict(each), "ratio": each.ratio} for each in self.figures]
        return {"model": self.model, "plan": asdict(self.plan), "figures": figures}


@dataclass(slots=True)
class Samples:
    """Measurements of all rounds by name, in the order of first appearance."""

    _engine: dict[tuple[str, Unit], list[float]] = field(default_factory=lambda: defaultdict(list))
    _bare: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, unit: Unit, value: float, bare: float | None = None) -> None:
        """Add a measurement of one round."""
        self._engine[name, unit].append(value)
        if bare is not None:
            self._bare[name].append(bare)

    def figures(self) -> tuple[Figure, ...]:
        """Return the medians."""
        return tuple(
            Figure(
                name,
                unit,
                statistics.median(values),
                statistics.median(self._bare[name]) if self._bare.get(name) else None,
            )
            for (name, unit), values in self._engine.items()
        )
