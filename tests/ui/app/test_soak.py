"""Tests that a window holds no more resources after long use than when it is new."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import linear_regression

import pytest

from tests.ui.app.soak import Measure, soak

ROOT = Path(__file__).parents[3]
WARM = 500
"""The number of turns after which the caches of fixed size are full."""
MOST_BYTES = 1_000_000
"""The allowed memory growth in bytes per 100 turns. Ten turns create three new threads."""


async def test_tasks_threads_and_descriptors_do_not_grow(tmp_path: Path) -> None:
    first, *_, last = await soak(20, tmp_path)
    assert last.turns >= 20 and not last.exceeds(first), (first, last)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_memory_does_not_grow_over_5000_turns(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.ui.app.soak", "5000", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    measures = [Measure(**each) for each in json.loads(done.stdout)]
    first, last = measures[0], measures[-1]
    assert last.turns >= 5000 and not last.exceeds(first), (first, last)
    warm = [each for each in measures if each.turns > WARM]
    slope, _ = linear_regression([each.turns for each in warm], [each.memory for each in warm])
    print(f"{100 * slope / 1e6:.2f} MB for 100 turns")
    assert 100 * slope < MOST_BYTES
