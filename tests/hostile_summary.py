"""Counts what was tried against every fault and bad input of the plan, and what was lost.

`uv run pytest --tally` ends with a table of them; with `-m "slow or not slow"` all are counted.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

ROWS = {
    "F1": "killed while saving",
    "F2": "power lost while saving",
    "F3": "every system call of a save fails",
    "F4": "disk full",
    "F5": "directory read-only, gone, or no directory",
    "F6": "links and strangers in the data directory",
    "F7": "two programs on one directory",
    "F8": "a clock that jumps or stands still",
    "F9": "signals and closed terminals",
    "F10": "an engine that fails, hangs, lies",
    "F11": "cancelled at any moment",
    "F12": "out of memory",
    "F13": "an abort in native code",
    "F14": "an error in the window's own code",
    "F15": "killed while threads are encrypted anew",
    "F16": "no terminal, or a strange one",
    "B1": "damaged thread files",
    "B2": "schemas of the past and the future",
    "B3": "damaged models",
    "B4": "hostile chat templates",
    "B5": "event streams out of order",
    "B6": "control characters at every sink",
    "B7": "markup at every sink",
    "B8": "hostile links",
    "B9": "hostile ids and file names",
    "B10": "bad configuration",
    "B11": "redirects",
    "B12": "passphrases and sealed files",
    "B13": "pastes",
}
"""The kinds of attempts, by their row in the plan."""

Tally = Callable[..., None]
_KEY = "tally"


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """Note `tally(row, tried, lost=0)` at the end of a test that made `tried` attempts."""

    def note(row: str, tried: int, *, lost: int = 0) -> None:
        assert row in ROWS and tried > 0
        record_property(_KEY, (row, tried, lost))

    return note


class TallyTable:
    """Adds up the notes of the tests, from all processes."""

    def __init__(self) -> None:
        self._tried: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the figures of one test that passed."""
        if report.when == "call" and report.passed:
            for row, tried, lost in _noted(report):
                self._tried[row] += tried
                self._lost[row] += lost

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        terminalreporter.section("what was tried, what survived, what was lost")
        for row, what in ROWS.items():
            tried, lost = self._tried[row], self._lost[row]
            figures = f"{tried:7,} {tried - lost:7,} {lost:5,}" if tried else f"{'not run':>21}"
            terminalreporter.write_line(f"{row:4} {what:44} {figures}")


def _noted(report: pytest.TestReport) -> Iterator[tuple[str, int, int]]:
    for key, value in report.user_properties:
        if key == _KEY and isinstance(value, list | tuple):
            row, tried, lost = value
            yield str(row), int(tried), int(lost)
