"""Every option of a public class or function is set to another value than its default in a test.

Options are parameters with a default, fields of dataclasses and keywords of a TypedDict. A test
sets one when it calls the class, function or method by its name with a value that is not the
literal of the default, by keyword or position. What a helper passes on under the
name of its own parameter does not count.
"""

import ast
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Unpack, get_args, get_origin, get_type_hints

import pytest

TESTS = Path(__file__).parent
PACKAGES = ("engine", "session", "agents", "storage")
ANSWERED = "the program gives this value; a test reads it from there"
NO_OTHER_VALUE = {
    "Access(holder_pid)": ANSWERED,
    "Access(reason)": ANSWERED,
    "EngineClosedError(message)": ANSWERED,
    "EngineCrashedError(begun)": ANSWERED,
    "Finished(metrics)": ANSWERED,
    "SessionBusyError(message)": ANSWERED,
    "SessionClosedError(message)": ANSWERED,
    "SessionMetrics(snapshot_misses)": ANSWERED,
}
"""What is no option of a caller, with the reason."""
GAPS = frozenset(
    {
        "ChatSession(after)",
        "ChatSession(agent)",
        "ChatSession(settings)",
        "ChatSession(unsaved)",
        "ChatSession.continue_answer(tools)",
        "ChatSession.edit(tools)",
        "ChatSession.regenerate(tools)",
        "EncryptedFileStorage(migrations)",
        "Engine(on_progress)",
        "EngineSession.close(budget_bytes)",
        "EngineSession.respond(settings)",
        "KoelClient.new_session(agent)",
        "LocalAgent(gap_s)",
        "LocalAgent.run(lora)",
        "ModelRouter.run(lora)",
        "ModelSpec(gpu_layers)",
        "ModelSpec(kv_type)",
        "Redact(longest)",
        "Snapshots(budget_bytes)",
        "use_model(progress)",
    }
)
"""Options that no test sets yet: nothing is to be added here."""


@dataclass(frozen=True)
class Option:
    """A parameter with a default: of the call `callee`, at `position` unless it has only a name."""

    owner: str
    callee: str
    name: str
    default: object
    position: int | None

    @property
    def label(self) -> str:
        return f"{self.owner}({self.name})"


def options_of(owner: str, callee: str, function: Callable[..., Any], bound: bool) -> list[Option]:
    """Return the options of one function; the first parameter of a `bound` one is not given."""
    found, hints = [], {}
    try:
        parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    except ValueError:  # a method of a built-in class
        return []
    for position, each in enumerate(parameters):
        if each.kind is each.VAR_KEYWORD:
            hints = get_type_hints(function, include_extras=True)
            hint = hints.get(each.name)
            if get_origin(hint) is Unpack:
                keys = get_args(hint)[0].__annotations__
                found += [Option(owner, callee, key, inspect.Parameter.empty, None) for key in keys]
        elif each.default is not each.empty:
            at = position if each.kind is each.POSITIONAL_OR_KEYWORD else None
            found.append(Option(owner, callee, each.name, each.default, at))
    return found


def public_options(package: str) -> Iterator[Option]:
    """Yield the options of everything a package offers."""
    module = import_module(f"koel_tui.{package}")
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            yield from options_of(name, name, value, bound=False)
        if not inspect.isclass(value):
            continue
        if "__init__" in vars(value):  # an inherited one is that of another class
            yield from options_of(name, name, value, bound=False)
        for method, member in vars(value).items():
            function = getattr(member, "__func__", member)
            if not method.startswith("_") and inspect.isfunction(function):
                bound = not isinstance(member, staticmethod)
                yield from options_of(f"{name}.{method}", method, function, bound)


def calls(root: Path) -> dict[str, list[ast.Call]]:
    """Return the calls in all tests by the last part of the name that is called."""
    found = defaultdict(list)
    for path in root.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        _drop_forwarded(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                found[name].append(node)
    return found


def _drop_forwarded(tree: ast.Module) -> None:
    """Remove `name=name` from the calls of helpers that have `name` as a parameter themselves."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if function.name.startswith("test_"):  # its parameters are values of this test
            continue
        given = {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                node.keywords = [
                    each
                    for each in node.keywords
                    if not (isinstance(each.value, ast.Name) and each.value.id == each.arg in given)
                ]


def sets(call: ast.Call, option: Option) -> bool:
    """Return whether a call gives an option a value that is not its default."""
    values = [each.value for each in call.keywords if each.arg == option.name]
    starred = any(isinstance(each, ast.Starred) for each in call.args)
    if option.position is not None and option.position < len(call.args) and not starred:
        values.append(call.args[option.position])
    for each in (each.value for each in call.keywords if each.arg is None):
        if isinstance(each, ast.Dict):
            values += [
                value
                for key, value in zip(each.keys, each.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == option.name
            ]
    return any(_differs(value, option) for value in values)


def _differs(value: ast.expr, option: Option) -> bool:
    try:
        literal = ast.literal_eval(value)
    except ValueError:
        return True
    if option.default is inspect.Parameter.empty:
        return literal is not None
    return bool(literal != option.default or type(literal) is not type(option.default))


def test_every_public_option_is_set_by_a_test() -> None:
    seen = calls(TESTS)
    missing = {
        option.label
        for package in PACKAGES
        for option in public_options(package)
        if option.label not in NO_OTHER_VALUE
        and not any(sets(call, option) for call in seen[option.callee])
    }
    assert missing - GAPS == set(), "an option without a test that sets it"


def test_what_has_no_other_value_is_an_option() -> None:
    labels = {option.label for package in PACKAGES for option in public_options(package)}
    assert set(NO_OTHER_VALUE) <= labels
    assert all(NO_OTHER_VALUE.values())
    assert len(labels) > 100


def example(a: int, b: int = 1, *, c: str = "x", d: bool = False) -> None:
    """Have options to look for."""


@pytest.mark.parametrize(
    ("code", "set_ones"),
    [("example(1)", ""), ("example(1, 2)", "b"), ("example(1, 1)", ""), ("example(1, b=1)", ""),
     ("x.example(1, c='y')", "c"), ("example(1, c='x', d=True)", "d"), ("example(1, c=c)", "c"),
     ("example(*a, 2)", ""), ("example(1, **{'d': True})", "d"), ("example(1, d=value())", "d"),
     ("example(1, **others)", "")],
)  # fmt: skip
def test_a_call_that_sets_an_option_is_found(code: str, set_ones: str) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    found = options_of("example", "example", example, bound=False)
    assert [option.name for option in found] == ["b", "c", "d"]
    assert "".join(option.name for option in found if sets(call, option)) == set_ones


def test_what_a_helper_passes_on_is_not_counted(tmp_path: Path) -> None:
    code = "def {}(c): example(1, c=c)"
    (tmp_path / "a.py").write_text(code.format("helper"))
    (option,) = [each for each in options_of("", "example", example, False) if each.name == "c"]
    assert not any(sets(call, option) for call in calls(tmp_path)["example"])
    (tmp_path / "b.py").write_text(code.format("test_it"))
    assert any(sets(call, option) for call in calls(tmp_path)["example"])
