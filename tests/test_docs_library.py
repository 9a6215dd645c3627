"""Consistency of the library page in the docs with the packages."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from koel_tui.engine import Engine, EngineSession
from koel_tui.session import ChatSession
from tests.docs_pages import PAGES, blocks, code_in, section, table


@pytest.mark.parametrize(
    "package", ["engine", "agents", "session", "storage", "protocol", "models"]
)
def test_the_public_names_of_a_package_are_listed(package: str) -> None:
    names = code_in(section(PAGES["library"], f"koel_tui.{package}"))
    assert names == [*importlib.import_module(f"koel_tui.{package}").__all__]


CODE = [block for page in PAGES.values() for block in blocks(page, "python")]


@pytest.mark.parametrize("block", CODE, ids=range(len(CODE)))
def test_the_imports_of_an_example_work(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("koel_tui"):
            package = importlib.import_module(str(node.module))
            assert {name.name for name in node.names} <= {*package.__all__}


@pytest.mark.parametrize(
    "block",
    [pytest.param(each, marks=[pytest.mark.slow] * ("choose_model" in each)) for each in CODE],
    ids=range(len(CODE)),
)
def test_an_example_runs(block: str, tmp_path: Path) -> None:
    run = [sys.executable, "-c", block]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


def test_methods_in_the_text_exist() -> None:
    rows = table(section(PAGES["library"], "Sessions and threads"))
    named = [name for cell, _ in rows for each in code_in(cell) for name in [each.split("(")[0]]]
    assert len(named) > 10 and [name for name in named if not hasattr(ChatSession, name)] == []
    text = section(PAGES["library"], "Engine")
    for owner, kinds in (("session", (EngineSession,)), ("engine", (Engine,))):
        for name in re.findall(rf"`{owner}\.(\w+)", text):
            assert any(hasattr(kind, name) for kind in kinds), f"{owner}.{name}"
