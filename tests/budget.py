"""A time budget for a run: tests that do not fit are listed at the end and do not fail it.

`uv run pytest -m slow --budget-minutes 25` begins no test after 25 minutes. A test that runs then
is not interrupted. With xdist all processes share one deadline.
"""

import time

import pytest

OPTION = "--budget-minutes"
PLUGIN = "budget"
_INPUT = "budget_end"
_REASON = "the time budget of the run was over"


class Budget:
    """Skips every test that would begin after `end`, a time of the monotonic clock."""

    def __init__(self, minutes: float, end: float) -> None:
        self.minutes, self.end = minutes, end
        self.left: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: pytest.Session) -> None:
        """Pass the deadline to a process of xdist."""
        node.workerinput[_INPUT] = self.end  # type: ignore[attr-defined]  # an xdist class

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Skip a test after the deadline, before its fixtures run."""
        if time.monotonic() >= self.end:
            pytest.skip(_REASON)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a test that did not fit."""
        if report.skipped and isinstance(report.longrepr, tuple) and _REASON in report.longrepr[2]:
            self.left.append(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the seed of the order and the tests that did not fit."""
        seed = getattr(terminalreporter.config.option, "randomly_seed", None)
        if seed is not None:
            terminalreporter.write_line(f"order of the tests: --randomly-seed={seed}")
        terminalreporter.write_line(
            f"{len(self.left)} tests did not fit into {self.minutes:g} minutes"
        )
        for name in sorted(self.left):
            terminalreporter.write_line(f"not run: {name}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        OPTION,
        type=float,
        default=None,
        metavar="N",
        help="begin no test after N minutes; list those that were not run",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set the deadline: that of the controlling process, or `minutes` from now."""
    minutes = config.getoption(OPTION)
    if minutes is None:
        return
    given = getattr(config, "workerinput", {}).get(_INPUT)
    end = time.monotonic() + 60 * minutes if given is None else given
    config.pluginmanager.register(Budget(minutes, end), PLUGIN)
