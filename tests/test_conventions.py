"""Rules of the project that no linter checks."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 400
MAX_FUNCTION_LINES = 50
ROOMS = ("engine", "session", "protocol", "storage", "agents", "models")
"""Those that are a library, too."""
CHANGES = frozenset(
    {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove",
     "setdefault", "sort", "update"}
)  # fmt: skip
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def test_every_file_is_short() -> None:
    counts = {path: len(path.read_text().splitlines()) for path in files("koel_tui", "tests")}
    assert [(str(path), count) for path, count in counts.items() if count > MAX_LINES] == []


def test_every_function_is_short() -> None:
    """From `def` to the last line; the options of a command are above `def`."""
    assert [
        f"{place(path, node)} {node.name}"
        for path in files("koel_tui")
        for node in ast.walk(parsed(path))
        if isinstance(node, Function)
        and (node.end_lineno or node.lineno) - node.lineno >= MAX_FUNCTION_LINES
    ] == []


def changed_names(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names of what a module changes in place, or gives another value in a function."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Global):
            yield from ((name, node) for name in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func.value] if node.func.attr in CHANGES else []
        elif isinstance(node, ast.Assign | ast.Delete):
            targets = [each.value for each in node.targets if isinstance(each, ast.Subscript)]
        elif isinstance(node, ast.AugAssign):
            whole = node.target
            targets = [whole.value if isinstance(whole, ast.Subscript) else whole]
        yield from ((each.id, node) for each in targets if isinstance(each, ast.Name))


def own_names(tree: ast.Module) -> set[str]:
    """Return the names that a module gives values at its outermost level."""
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def state_of(tree: ast.Module) -> list[ast.AST]:
    """Return the places at which a module changes what it has at its outermost level."""
    own = own_names(tree)
    return [node for name, node in changed_names(tree) if name in own]


def test_no_module_has_a_state() -> None:
    changed = [place(path, node) for path in files("koel_tui") for node in state_of(parsed(path))]
    assert changed == []


@pytest.mark.parametrize(
    "code",
    ["A = []\ndef f(): A.append(1)", "A = {}\nA['b'] = 1", "A: dict = {}\ndel A['b']",
     "A = 1\ndef f():\n    global A\n    A = 2", "A = set()\nA |= {1}"],
)  # fmt: skip
def test_a_state_is_found(code: str) -> None:
    assert len(state_of(ast.parse(code))) == 1


def values_of(init: Path) -> Iterator[tuple[Path, ast.stmt, ast.stmt | None]]:
    """Yield the constants and types that a package imports to offer, and what follows each."""
    for node in parsed(init).body:
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("koel_tui"):
            continue
        module = ROOT / str(node.module).replace(".", "/")
        if module.is_dir():
            yield from values_of(module / "__init__.py")
            continue
        path, names = module.with_suffix(".py"), {each.name for each in node.names}
        body = parsed(path).body
        for statement, following in zip(body, [*body[1:], None], strict=True):
            if own_names(ast.Module([statement], [])) & names:
                yield path, statement, following


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_value_says_what_it_is(room: str) -> None:
    """Ruff looks at classes and functions."""
    assert [
        place(path, statement)
        for path, statement, following in values_of(ROOT / "koel_tui" / room / "__init__.py")
        if not (isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant))
    ] == []
