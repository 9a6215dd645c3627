"""The page about the library agrees with the packages."""

import ast
import importlib
import re

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


def test_an_example_without_a_model_runs() -> None:
    for block in CODE:
        if "choose_model" not in block:
            exec(compile(block, "docs", "exec"), {"__name__": "example"})  # noqa: S102 - ours


def test_methods_in_the_text_exist() -> None:
    rows = table(section(PAGES["library"], "Sessions and threads"))
    named = [name for cell, _ in rows for each in code_in(cell) for name in [each.split("(")[0]]]
    assert len(named) > 10 and [name for name in named if not hasattr(ChatSession, name)] == []
    text = section(PAGES["library"], "Engine")
    for owner, kinds in (("session", (EngineSession,)), ("engine", (Engine,))):
        for name in re.findall(rf"`{owner}\.(\w+)", text):
            assert any(hasattr(kind, name) for kind in kinds), f"{owner}.{name}"
