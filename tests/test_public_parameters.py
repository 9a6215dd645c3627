"""Coverage of public options: a test sets each one to a value that is not its default.

Options are parameters with a default, fields of dataclasses and keywords of a TypedDict. A test
sets an option if it calls the class, function or method by its name with another value than the
default, by keyword or position. Literals, constants of the test file, and the name of the default
are evaluated. A parameter that a helper passes on under the same name does not count, nor does a
call of a method if the test shows that its object has another class.
"""

import ast
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Unpack, get_args, get_origin, get_type_hints

import pytest

from koel_tui.engine import Engine, EngineHost

TESTS = Path(__file__).parent
PACKAGES = ("engine", "session", "agents", "storage")
ANSWERED = "the program gives this value; a test reads it from there"
UNTOLD = frozenset({"Any", "Agent", "SessionStorage", "SessionHost", "Link"})
"""Types that do not determine the class of an object: protocols and `Any`."""
NO_OTHER_VALUE = {
    "Access(holder_pid)": ANSWERED,
    "Access(reason)": ANSWERED,
    "EngineClosedError(message)": ANSWERED,
    "EngineCrashedError(begun)": ANSWERED,
    "Finished(metrics)": ANSWERED,
    "ModelCard(fitting_template)": ANSWERED,
    "ModelCard(has_template)": ANSWERED,
    "ModelInfo(has_template)": ANSWERED,
    "SessionBusyError(message)": ANSWERED,
    "SessionClosedError(message)": ANSWERED,
    "SessionMetrics(snapshot_misses)": ANSWERED,
    "SessionMetrics(threads)": ANSWERED,
    "SessionMetrics(drafted_tokens)": ANSWERED,
    "SessionMetrics(accepted_tokens)": ANSWERED,
}
"""Parameters for which a test cannot set another value, with the reason."""


@dataclass(frozen=True)
class Option:
    """A parameter with a default of the call `callee`; `position` is None for keyword-only."""

    owner: str
    callee: str
    name: str
    default: object
    position: int | None
    default_source: str = ""
    classes: frozenset[str] = frozenset()
    """The class of a method and its subclasses; empty for other functions."""

    @property
    def label(self) -> str:
        return f"{self.owner}({self.name})"


@dataclass(frozen=True)
class Use:
    """A call in a test, the constants of the file, and the class of the object if known."""

    call: ast.Call
    constants: Mapping[str, ast.expr]
    receiver: str | None = None


def options_of(
    owner: str,
    callee: str,
    function: Callable[..., Any],
    bound: bool,
    classes: frozenset[str] = frozenset(),
) -> list[Option]:
    """Return the options of one function; a `bound` function has a `self` parameter to skip."""
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
                found += [
                    Option(owner, callee, key, inspect.Parameter.empty, None, classes=classes)
                    for key in keys
                ]
        elif each.default is not each.empty:
            at = position if each.kind is each.POSITIONAL_OR_KEYWORD else None
            written = default_sources(function).get(each.name, "")
            found.append(Option(owner, callee, each.name, each.default, at, written, classes))
    return found


def default_sources(function: Callable[..., Any]) -> dict[str, str]:
    """Return the source of a function's defaults; empty for a generated function."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError):
        return {}
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        return {}
    given = tree.args
    positional = given.args[len(given.args) - len(given.defaults) :]
    pairs = [*zip(positional, given.defaults, strict=True)]
    pairs += [
        (name, value)
        for name, value in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if value is not None
    ]
    return {name.arg: ast.unparse(value) for name, value in pairs}


def public_options(package: str) -> Iterator[Option]:
    """Yield the options of all exports of a package."""
    module = import_module(f"koel_tui.{package}")
    public = [each for each in vars(module).values() if inspect.isclass(each)]
    offered = [each for each in public if each.__name__ in module.__all__]
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            yield from options_of(name, name, value, bound=False)
        if not inspect.isclass(value):
            continue
        members = members_of(value, [each for each in offered if each is not value])
        if "__init__" in members:
            yield from options_of(name, name, value, bound=False)
        for method, member in members.items():
            function = getattr(member, "__func__", member)
            if not method.startswith("_") and inspect.isfunction(function):
                bound = not isinstance(member, staticmethod)
                heirs = frozenset(each.__name__ for each in public if value in each.__mro__)
                yield from options_of(f"{name}.{method}", method, function, bound, heirs)


def members_of(value: type, others: Sequence[type]) -> dict[str, Any]:
    """Return the members of a class except those that it inherits from one of `others`.

    Members of bases that are not public count as its own.
    """
    found: dict[str, Any] = {}
    listed = {base for each in others if each in value.__mro__ for base in each.__mro__}
    for each in value.__mro__:
        if each not in listed and each.__module__.partition(".")[0] == "koel_tui":
            found = {**vars(each), **found}
    return found


def calls(root: Path) -> dict[str, list[Use]]:
    """Return the calls in all tests, by the last part of the called name."""
    found = defaultdict(list)
    trees = [ast.parse(path.read_text("utf-8")) for path in sorted(root.rglob("*.py"))]
    own = {each.name for tree in trees for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}
    for tree in trees:
        _drop_forwarded(tree)
        constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        receivers = _receivers(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                receiver = receivers.get(node)
                # A class of the tests may inherit from one of the program.
                found[name].append(Use(node, constants, None if receiver in own else receiver))
    return found


def _receivers(tree: ast.Module) -> dict[ast.Call, str]:
    """Return the class of the object for method calls, if the same function shows it."""
    receivers = {}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = (*function.args.args, *function.args.kwonlyargs)
        known = {each.arg: _class_name(each.annotation) for each in arguments}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                value = node.value.func if isinstance(node.value, ast.Call) else None
                target = node.targets[0].id
                same = target not in known or known[target] == _class_name(value)
                known[target] = _class_name(value) if same else None
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and (name := known.get(node.func.value.id)) is not None
            ):
                receivers[node] = name
    return receivers


def _class_name(value: ast.expr | None) -> str | None:
    """Return the name of the class in an annotation or a call, if it is a class."""
    known = isinstance(value, ast.Name) and value.id[:1].isupper() and value.id not in UNTOLD
    return value.id if isinstance(value, ast.Name) and known else None


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


def sets(use: Use, option: Option) -> bool:
    """Return whether a call sets an option to a value that is not its default."""
    call = use.call
    if option.classes and use.receiver is not None and use.receiver not in option.classes:
        return False
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
    return any(_differs(value, option, use.constants) for value in values)


def _differs(value: ast.expr, option: Option, constants: Mapping[str, ast.expr]) -> bool:
    if ast.unparse(value) == option.default_source:
        return False
    if isinstance(value, ast.Name):
        value = constants.get(value.id, value)
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
        if not any(sets(call, option) for call in seen[option.callee])
    }
    assert missing == set(NO_OTHER_VALUE), "an option without a test, or one that has a test now"


def test_every_exempt_parameter_is_a_public_option() -> None:
    labels = {option.label for package in PACKAGES for option in public_options(package)}
    assert set(NO_OTHER_VALUE) <= labels
    assert len(labels) > 100


def test_options_inherited_from_a_class_that_is_not_public_are_listed() -> None:
    labels = [option.label for option in public_options("storage")]
    for store in ("JsonFileStorage", "EncryptedFileStorage"):
        assert {f"{store}.summaries(limit)", f"{store}.empty_trash(older_than)"} <= {*labels}
    assert len(labels) == len({*labels})


def test_members_inherited_from_a_public_class_are_those_of_that_class() -> None:
    assert "open_session" in members_of(EngineHost, []) and "_create_transport" in vars(EngineHost)
    assert "open_session" not in (members := members_of(EngineHost, [Engine]))
    assert "_create_transport" in members


WORD = False


def example(a: int, b: int = 1, *, c: str = "x", d: bool = WORD) -> None:
    """A function with options for the tests below."""


@pytest.mark.parametrize(
    ("code", "set_ones"),
    [("example(1)", ""), ("example(1, 2)", "b"), ("example(1, 1)", ""), ("example(1, b=1)", ""),
     ("x.example(1, c='y')", "c"), ("example(1, c='x', d=True)", "d"), ("example(1, c=c)", "c"),
     ("example(*a, 2)", ""), ("example(1, **{'d': True})", "d"), ("example(1, d=value())", "d"),
     ("example(1, **others)", ""), ("example(1, ONE)", ""), ("example(1, b=TWO)", "b"),
     ("example(1, d=WORD)", "")],
)  # fmt: skip
def test_a_call_that_sets_an_option_is_found(code: str, set_ones: str) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    found = options_of("example", "example", example, bound=False)
    assert [option.name for option in found] == ["b", "c", "d"]
    constants = {"ONE": ast.parse("1", mode="eval").body, "TWO": ast.parse("2", mode="eval").body}
    use = Use(call, constants)
    assert "".join(option.name for option in found if sets(use, option)) == set_ones


def test_an_option_that_only_a_helper_passes_is_not_counted(tmp_path: Path) -> None:
    code = "def {}(c): example(1, c=c)"
    (tmp_path / "a.py").write_text(code.format("helper"))
    (option,) = [each for each in options_of("", "example", example, False) if each.name == "c"]
    assert not any(sets(call, option) for call in calls(tmp_path)["example"])
    (tmp_path / "b.py").write_text(code.format("test_it"))
    assert any(sets(call, option) for call in calls(tmp_path)["example"])


@pytest.mark.parametrize(
    ("code", "counts"),
    [("def test(x: Other): x.run(c=2)", False), ("def test(x: Owner): x.run(c=2)", True),
     ("def test(x: Heir): x.run(c=2)", True), ("def test(x): x.run(c=2)", True),
     ("def test(x: Any): x.run(c=2)", True), ("def test():\n x = Other()\n x.run(c=2)", False),
     ("def test():\n x = Owner()\n x.run(c=2)", True),
     ("def test():\n x = Other()\n x = Owner()\n x.run(c=2)", True),
     ("class Other(Owner): pass\ndef test(x: Other): x.run(c=2)", True)],
)  # fmt: skip
def test_a_method_of_another_class_is_not_counted(tmp_path: Path, code: str, counts: bool) -> None:
    (tmp_path / "a.py").write_text(code)
    option = Option("Owner.run", "run", "c", 1, None, "1", frozenset({"Owner", "Heir"}))
    assert any(sets(use, option) for use in calls(tmp_path)["run"]) == counts
