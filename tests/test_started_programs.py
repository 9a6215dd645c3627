"""Programs that tests start: they must not inherit the stdin of the suite."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.docs_pages import ROOT

STARTING = ("run", "Popen", "check_output")


def starts_without_stdin(path: Path) -> Iterator[str]:
    """Yield the places that start a program other than Python with the stdin of the suite."""
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        starts = (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "subprocess"
            and node.func.attr in STARTING
        )
        if not starts or not isinstance(node, ast.Call):
            continue
        given = {keyword.arg for keyword in node.keywords}
        if not given & {"stdin", "input"} and "sys.executable" not in ast.unparse(node.args[0]):
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_tests_start_programs_with_an_explicit_stdin() -> None:
    """`koel-chat ask` reads a pipe to its end, so an open pipe would block a test forever."""
    paths = [path for name in ("cli", "e2e") for path in (ROOT / "tests" / name).rglob("*.py")]
    assert [place for path in paths for place in starts_without_stdin(path)] == []
