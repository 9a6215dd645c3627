"""Marks the tests that are too slow for the default run; `-m slow` runs them.

`slow_tests.txt` lists them, one a line: `FILE::FUNCTION` for all variants of a parametrized test,
`FILE::FUNCTION 2` for all but the first two. The list comes from `pytest --durations=0`, and is
easier to update than 200 marks. A test that is slow by design has the mark itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

TESTS = Path(__file__).parent
LIST = TESTS / "slow_tests.txt"


def parse(text: str) -> Mapping[str, int]:
    """Return the number of variants of each listed test in the default run."""
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return MappingProxyType({name: int(*kept or "0") for name, *kept in lines})


def mark(items: Iterable[pytest.Item], kept: Mapping[str, int]) -> None:
    """Mark the listed tests among `items`, which are in the order of their definition."""
    seen: Counter[str] = Counter()
    for item in items:
        file, _, function = item.nodeid.partition("[")[0].partition("::")
        name = f"{file.removeprefix('tests/')}::{function}"
        if name in kept:
            seen[name] += 1
            if seen[name] > kept[name]:
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl(tryfirst=True)  # before tests are selected by marks and shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the listed tests."""
    mark(items, parse(LIST.read_text()))
