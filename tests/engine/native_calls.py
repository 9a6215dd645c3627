"""A static check of calls of llama.cpp's bindings against the declared argument types.

The bindings declare `argtypes` for every native function. ctypes checks them only at a call, and
mypy does not see them. This check parses the source text, so it needs no call.
"""

import ast
import builtins
import contextlib
import ctypes
import importlib
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

_PACKAGE = "llama_cpp"
_FUNCTION: Any = ctypes._CFuncPtr  # type: ignore[attr-defined]  # the stubs do not export it
_UNKNOWN = object()
"""The placeholder for a value whose type the source text does not show."""
_SAMPLES: Mapping[Any, Any] = {
    int: 1, float: 1.0, bool: True, str: "", bytes: b"", list: [], tuple: (), dict: {},
    set: set(), type(None): None,
}  # fmt: skip
_METHODS = {"encode": b"", "decode": "", "join": _UNKNOWN}
_CALLS = {name: _SAMPLES[getattr(builtins, name)] for name in ("int", "float", "bool", "str")}
_CALLS |= {"bytes": b"", "len": 1, "list": [], "tuple": (), "dict": {}}
_DISPLAYS = {
    ast.JoinedStr: "", ast.List: [], ast.Tuple: (), ast.Dict: {}, ast.Set: set(),
    ast.Compare: True, ast.ListComp: [], ast.DictComp: {},
}  # fmt: skip


def faults(source: str, names: Mapping[str, Any] | None = None) -> list[str]:
    """Return the faults in `source` with their lines; the list is empty if every call is right.

    `names` are the globals of the module, in which its annotations are looked up.
    """
    tree = ast.parse(source)
    check = _Check(names or {})
    check.visit(tree)
    return check.faults


def calls(source: str) -> int:
    """Return the number of calls of the bindings in a source text."""
    check = _Check({})
    check.visit(ast.parse(source))
    return check.calls


class _Check(ast.NodeVisitor):
    def __init__(self, names: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self.calls = 0
        self._names = names
        self._modules: dict[str, Any] = {}  # local name of a module of the bindings
        self._members: dict[str, Any] = {}  # local name of an object imported from one
        self._types: list[dict[str, Any]] = [{}]  # by scope: annotated types of its arguments
        self._structures: list[dict[str, Any]] = [{}]  # by scope: names that hold a structure

    def visit_Import(self, node: ast.Import) -> None:
        for each in node.names:
            if each.name.split(".")[0] == _PACKAGE:
                module = importlib.import_module(each.name)
                root = importlib.import_module(_PACKAGE)
                self._modules[each.asname or _PACKAGE] = module if each.asname else root

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if (node.module or "").split(".")[0] != _PACKAGE:
            return
        module = importlib.import_module(str(node.module))
        for each in node.names:
            if each.name == "*":
                self._fault(node, "imports everything, so its calls cannot be found")
                continue
            with contextlib.suppress(ImportError):  # it is not a submodule
                importlib.import_module(f"{node.module}.{each.name}")
            if hasattr(module, each.name):
                self._members[each.asname or each.name] = getattr(module, each.name)
            else:
                self._fault(node, f"{node.module}.{each.name} does not exist")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self._types.append({each.arg: self._annotated(each.annotation) for each in arguments})
        self._structures.append({})
        self.generic_visit(node)
        self._types.pop()
        self._structures.pop()

    def visit_Call(self, node: ast.Call) -> None:
        name, function = self._worker(node.func)
        if name:
            self.calls += 1
            self._check_call(node, name, function)
        elif isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr"):
            if node.args and self._module(node.args[0]) is not None:
                self._fault(node, f"{node.func.id} on the bindings cannot be checked")
        else:
            self.visit(node.func)
        for each in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(each)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name, value = self._worker(node)
        if name and _is_function(value):
            self._fault(node, f"{name} is used as a value, so its calls cannot be checked")
        elif name and value is None:
            self._fault(node, f"{name} does not exist")
        elif isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            structure = self._structures[-1].get(node.value.id)
            if structure is not None and node.attr not in dict(_fields(structure)):
                self._fault(node, f"{structure.__name__} has no field {node.attr}")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if _is_function(self._members.get(node.id)):
            self._fault(node, f"{node.id} is used as a value, so its calls cannot be checked")

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self._result(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name) and inspect.isclass(value):
                self._structures[-1][target.id] = value
        self.generic_visit(node)

    def _check_call(self, node: ast.Call, name: str, function: Any) -> None:
        starred = any(isinstance(each, ast.Starred) for each in node.args)
        if function is None:
            self._fault(node, f"{name} does not exist")
        elif starred or any(keyword.arg is None for keyword in node.keywords):
            self._fault(node, f"{name} is called with * or **, which cannot be checked")
        elif not _is_function(function):
            self._check_python(node, name, function)
        elif node.keywords:
            self._fault(node, f"{name} is native and takes no keywords")
        elif len(node.args) != len(function.argtypes):
            wanted = len(function.argtypes)
            self._fault(node, f"{name} takes {wanted} arguments, not {len(node.args)}")
        else:
            for number, (each, kind) in enumerate(
                zip(node.args, function.argtypes, strict=True), start=1
            ):
                self._check_type(name, number, each, kind)

    def _check_python(self, node: ast.Call, name: str, function: Any) -> None:
        if inspect.isclass(function) and issubclass(function, ctypes._SimpleCData | _FUNCTION):
            if len(node.args) > 1 or node.keywords:
                self._fault(node, f"{name} is a C type and takes one value")
            return
        try:
            keywords = {str(each.arg): None for each in node.keywords}
            inspect.signature(function).bind(*node.args, **keywords)
        except (TypeError, ValueError) as error:
            self._fault(node, f"{name}: {error}")

    def _check_type(self, name: str, number: int, node: ast.expr, kind: Any) -> None:
        value = self._sample(node)
        if value is _UNKNOWN:
            return
        try:
            kind.from_param(value)
            literal = isinstance(value, int) and isinstance(node, ast.Constant | ast.UnaryOp)
            fits = not (literal and issubclass(kind, ctypes._SimpleCData)) or (
                isinstance(kind(value).value, float) or kind(value).value in (value, None)
            )
        except (TypeError, ctypes.ArgumentError, AttributeError):
            fits = False
        if not fits:
            self._fault(
                node,
                f"argument {number} of {name} is a {kind.__name__}, "
                f"not {ast.unparse(node)} ({type(value).__name__})",
            )

    def _sample(self, node: ast.expr) -> Any:
        """Return a value of the type of an expression, or `_UNKNOWN` if the type is not clear."""
        try:
            return ast.literal_eval(node)
        except ValueError:
            pass
        if type(node) in _DISPLAYS:
            return _DISPLAYS[type(node)]
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
                return _CALLS[name]
            case ast.Call(func=ast.Attribute(attr=name)) if name in _METHODS:
                return _METHODS[name]
            case ast.Call() if (result := self._result(node)) is not None:
                return result() if issubclass(result, ctypes.Structure) else _UNKNOWN
            case ast.Name() | ast.Attribute():
                return _SAMPLES.get(self._type(node), _UNKNOWN)
        return _UNKNOWN

    def _type(self, node: ast.expr) -> Any:
        """Return the annotated type of a name, or of a field of a value with an annotated type."""
        if isinstance(node, ast.Name):
            return next((each[node.id] for each in reversed(self._types) if node.id in each), None)
        if isinstance(node, ast.Attribute) and inspect.isclass(owner := self._type(node.value)):
            return typing.get_type_hints(owner).get(node.attr)
        return None

    def _annotated(self, node: ast.expr | None) -> Any:
        text = "" if node is None else ast.unparse(node)
        return getattr(builtins, text, self._names.get(text))

    def _result(self, node: ast.expr) -> Any:
        """Return the structure that a native call returns, or None for another expression."""
        _, function = self._worker(node.func) if isinstance(node, ast.Call) else ("", None)
        result = getattr(function, "restype", None)
        is_structure = inspect.isclass(result) and issubclass(result, ctypes.Structure)
        return result if is_structure else None

    def _worker(self, node: ast.expr) -> tuple[str, Any]:
        """Return the name and the value of the object of the bindings that an expression names."""
        if isinstance(node, ast.Name) and node.id in self._members:
            return node.id, self._members[node.id]
        if isinstance(node, ast.Attribute):
            module = self._module(node.value)
            if module is not None:
                return f"{module.__name__}.{node.attr}", getattr(module, node.attr, None)
        return "", None

    def _module(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            member = self._members.get(node.id)
            return self._modules.get(node.id, member if inspect.ismodule(member) else None)
        if isinstance(node, ast.Attribute):
            value = getattr(self._module(node.value), node.attr, None)
            return value if inspect.ismodule(value) else None
        return None

    def _fault(self, node: ast.AST, what: str) -> None:
        self.faults.append(f"line {getattr(node, 'lineno', 0)}: {what}")


def _is_function(value: Any) -> bool:
    return isinstance(value, _FUNCTION) and value.argtypes is not None


def _fields(structure: Any) -> Iterator[tuple[str, Any]]:
    return ((each[0], each[1]) for each in structure._fields_)
