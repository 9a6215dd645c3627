"""The list of slow tests: it names existing tests, and the default run keeps listed variants."""

import ast
from types import SimpleNamespace

import pytest

from tests import slow_tests


def functions(file: str) -> set[str]:
    tree = ast.parse((slow_tests.TESTS / file).read_text())
    return {each.name for each in ast.walk(tree)
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}  # fmt: skip


def test_every_listed_test_exists() -> None:
    listed = [name.split("::") for name in slow_tests.parse(slow_tests.LIST.read_text())]
    assert listed == sorted(listed)
    assert [each for each in listed if each[-1] not in functions(each[0])] == []


def test_the_first_variants_stay_in_the_default_run() -> None:
    marked: list[str] = []
    names = ["a.py::one[1]", "a.py::two[1]", "a.py::one[2]", "a.py::one[3-a[0]]", "a.py::three"]
    items = [
        SimpleNamespace(nodeid=f"tests/{name}", add_marker=lambda _, name=name: marked.append(name))
        for name in names
    ]
    kept = slow_tests.parse("# comment\na.py::one 1\n\na.py::three\n")
    slow_tests.mark(items, kept)  # type: ignore[arg-type]  # only these attributes are used
    assert marked == ["a.py::one[2]", "a.py::one[3-a[0]]", "a.py::three"]


@pytest.mark.parametrize("text", ["a.py::one two", "a.py::one 1 2"])
def test_a_line_without_a_name_and_a_number_is_refused(text: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        slow_tests.parse(text)
