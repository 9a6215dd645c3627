"""Counts how often each fault and hostile input was tried, and the losses.

`uv run pytest --tally` prints the table; `-m "slow or not slow"` counts all.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

TRIED = {
    "killed save": "a process is killed while it saves a thread",
    "power loss": "the power fails at any point of a save",
    "failing system call": "each system call of a save fails",
    "full disk": "a disk has no space left, or no file may grow",
    "unusable directory": "a directory is read-only, removed, or not a directory",
    "foreign files": "links, pipes and files of other users are in the data directory",
    "two processes": "two processes use one data directory",
    "wrong clock": "a clock jumps or stands still",
    "signals": "a signal arrives, or the terminal closes",
    "engine failure": "the engine fails, hangs or sends invalid results",
    "cancellation": "a run is cancelled at any moment",
    "low memory": "memory runs out",
    "engine crash": "native code aborts, or the engine process is killed",
    "window error": "the code of the window raises an exception",
    "interrupted encryption": "a conversion or a change of passphrase is interrupted",
    "strange terminal": "there is no terminal, or it has an unusual size or kind",
    "damaged thread file": "a thread file is mutated, truncated or too large",
    "other schema": "a thread file has an older or a newer schema",
    "damaged model": "a model file has damaged headers, fields or bytes",
    "hostile chat template": "a chat template tries to escape, to loop or to fill memory",
    "event stream": "AG-UI events come with any fields and in any order",
    "control characters": "each place that shows text gets control characters",
    "markup": "each place that shows text gets markup",
    "hostile link": "an answer has links that must not be opened",
    "hostile name": "an id or a title is no valid file name",
    "bad configuration": "a setting, a key or a theme is invalid",
    "redirect": "a server redirects to another server or a forbidden address",
    "passphrase": "a passphrase, a key file or an encrypted file is wrong",
    "paste": "a paste is very large or contains control sequences",
}
"""The faults and hostile inputs: the name for `tally`, and a description."""

Tally = Callable[..., None]
_KEY = "tally"


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """Return a function that records how often a test tried a fault or an input, by its name."""

    def note(name: str, tried: int, *, lost: int = 0) -> None:
        assert name in TRIED and tried > 0
        record_property(_KEY, (name, tried, lost))

    return note


class TallyTable:
    """Sums the counts of the tests of all processes."""

    def __init__(self) -> None:
        self._tried: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the counts of a test that passed."""
        if report.when == "call" and report.passed:
            for name, tried, lost in _noted(report):
                self._tried[name] += tried
                self._lost[name] += lost

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        terminalreporter.section("faults and hostile inputs")
        terminalreporter.write_line(f"{'':22} {'tried':>7} {'kept':>7} {'lost':>5}")
        for name, what in TRIED.items():
            tried, lost = self._tried[name], self._lost[name]
            figures = f"{tried:7,} {tried - lost:7,} {lost:5,}" if tried else f"{'not run':>21}"
            terminalreporter.write_line(f"{name:22} {figures}  {what}")


def _noted(report: pytest.TestReport) -> Iterator[tuple[str, int, int]]:
    for key, value in report.user_properties:
        if key == _KEY and isinstance(value, list | tuple):
            name, tried, lost = value
            yield str(name), int(tried), int(lost)
