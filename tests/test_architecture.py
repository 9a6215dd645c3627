"""The table of behaviours in docs/architecture.md, and the number of files in a folder."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.docs_pages import PAGES, ROOT, section, table

PACKAGE = ROOT / "koel_tui"
MOST_MODULES = 20
BEHAVIOURS = table(section(PAGES["architecture"], "Where a behaviour is decided"))


def names_in(path: Path) -> set[str]:
    """Return the classes, functions, methods and assigned names of a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {each.id for each in targets if isinstance(each, ast.Name)}
    return names


@pytest.mark.parametrize(("behaviour", "file", "name"), BEHAVIOURS)
def test_the_file_of_each_listed_behaviour_contains_its_name(
    behaviour: str, file: str, name: str
) -> None:
    assert name.strip("`") in names_in(PACKAGE / file.strip("`")), behaviour


def test_the_table_has_enough_behaviours_each_once() -> None:
    counts = Counter(behaviour for behaviour, _, _ in BEHAVIOURS)
    assert len(counts) >= 60 and set(counts.values()) == {1}


def test_every_package_is_described() -> None:
    described = {row[0].strip("`") for row in table(section(PAGES["architecture"], "Packages"))}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert described == packages


def test_no_folder_has_too_many_modules() -> None:
    counts = Counter(path.parent for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert {str(folder): n for folder, n in counts.items() if n > MOST_MODULES} == {}
