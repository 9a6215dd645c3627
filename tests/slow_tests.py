"""The tests that the default run leaves out because of their time; `-m slow` runs them.

`slow_tests.txt` lists them, one a line: `FILE::FUNCTION` for all variants of a parametrized test,
`FILE::FUNCTION 2` for all but the first two. The list is measured (`pytest --durations=0`), which a
mark in 200 places could not show. A test that is slow by design has the mark itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

TESTS = Path(__file__).parent
LIST = TESTS / "slow_tests.txt"


def parse(text: str) -> Mapping[str, int]:
    """Return how many variants of each listed test the default run has."""
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
