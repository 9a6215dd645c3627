"""The number of prompt tokens in a step with an answer follows the speed of the machine."""

import pytest

from koel_tui.engine.native.scheduling.prefill_budget import PrefillBudget


def steps(budget: PrefillBudget, per_step_s: float, tokens_per_s: float, count: int) -> list[float]:
    """Prefill a prompt on a machine; return the time of each step."""
    times = []
    for _ in range(count):
        tokens = budget.tokens(512)
        times.append(per_step_s + tokens / tokens_per_s)
        budget.record_prefill(tokens, times[-1])
    return times


@pytest.mark.parametrize(("per_step_s", "tokens_per_s"), [(0.003, 300), (0.01, 2000), (0.0, 60)])
def test_budget_steps_take_nearly_equally_long(per_step_s: float, tokens_per_s: float) -> None:
    times = steps(PrefillBudget(), per_step_s, tokens_per_s, 12)
    assert max(times[1:]) < 0.125
    assert times[-1] == pytest.approx(0.12, rel=0.2) or tokens_per_s == 60


def test_budget_a_gpu_reads_whole_batches_after_some_steps() -> None:
    budget = PrefillBudget()
    steps(budget, 0.01, 20_000, 4)
    assert budget.tokens(512) == 512


def test_budget_a_slow_model_reads_more_than_a_token_at_once() -> None:
    budget = PrefillBudget()
    budget.record_decode(0.3)
    steps(budget, 0.3, 50, 10)
    assert budget.tokens(512) >= 10


def test_budget_a_machine_that_becomes_slow_reads_less_at_once() -> None:
    budget = PrefillBudget()
    steps(budget, 0.003, 300, 10)
    before = budget.tokens(512)
    steps(budget, 0.003, 100, 1)
    assert budget.tokens(512) <= before / 2


def test_budget_is_at_least_a_token_and_at_most_the_limit() -> None:
    budget = PrefillBudget()
    assert budget.tokens(4) == 4
    budget.record_prefill(16, 100.0)
    assert budget.tokens(512) == 1
