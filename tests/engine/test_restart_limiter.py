"""The number of restarts within a period."""

import pytest

from koel_tui.engine import RestartLimitError, Restarts
from koel_tui.engine.restart_limiter import MAX_RESTARTS, PERIOD_S


def test_engine_restarts_are_bounded_for_a_while_only() -> None:
    restarts, end = Restarts(), "It ended."
    for now in (0.0, 1.0, 2.0):
        restarts.count(now, end)
    for _ in range(2):
        with pytest.raises(RestartLimitError, match=r"3 times .*It ended\..*again in 1 s"):
            restarts.count(PERIOD_S - 1, end)
    restarts.count(PERIOD_S, end)
    with pytest.raises(RestartLimitError):
        restarts.count(PERIOD_S, end)  # three restarts are allowed within a minute


def test_the_first_start_does_not_count_as_a_restart() -> None:
    restarts = Restarts()
    for _ in range(2 * MAX_RESTARTS):
        restarts.count(0.0, "")
    for _ in range(MAX_RESTARTS):
        restarts.count(0.0, "It ended.")
    with pytest.raises(RestartLimitError):
        restarts.count(0.0, "It ended.")


def test_a_refused_restart_does_not_count() -> None:
    restarts = Restarts()
    for now in range(MAX_RESTARTS):
        restarts.count(float(now), "It ended.")
    for _ in range(10):
        with pytest.raises(RestartLimitError, match="again in 58 s"):
            restarts.count(2.0, "It ended.")
    for now in range(MAX_RESTARTS):
        restarts.count(PERIOD_S + now, "It ended.")
