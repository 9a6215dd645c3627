"""The runner process with injected faults: functions or native calls that raise.

`KOEL_TEST_FAULT` is `module:name.of.function:number of the call`, counted from 0; `-1` means each.
With `--faults=FOLDER` as the first argument, `tests.engine.faults` decides which native calls
raise.
"""

import builtins
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import llama_cpp

from koel_tui.engine.native import preparation, worker
from koel_tui.engine.runner import process
from tests.engine.faults import Armed, Hit

FAULT = "KOEL_TEST_FAULT"
FOLDER = "--faults="


def break_one(fault: str) -> None:
    """Have one call of a function raise, or every call."""
    module, name, number = fault.split(":")
    owner: Any = importlib.import_module(module)
    *path, attribute = name.split(".")
    for each in path:
        owner = getattr(owner, each)
    real, calls = getattr(owner, attribute), iter(range(10**9))

    def faulty(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == int(number) or number == "-1":
            raise RuntimeError(f"{name} is broken by the test")
        return real(*arguments, **keywords)

    setattr(owner, attribute, faulty)


def break_native(folder: Path) -> None:
    """Have native calls raise when the test sets a fault."""
    armed = Armed(folder)
    for name in dir(llama_cpp):
        real = getattr(llama_cpp, name)
        if name.startswith("llama_") and callable(real) and not isinstance(real, type):
            setattr(llama_cpp, name, _armed(armed, name, real))


def _armed(armed: Armed, name: str, real: Any) -> Any:
    def call(*arguments: Any, **keywords: Any) -> Any:
        error = armed.due(name)
        if error is not None:
            armed.report(Hit(name, *_request(sys._getframe())))
            raise getattr(builtins, error)(f"{name} is broken by the test")
        return real(*arguments, **keywords)

    return call


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the stack frames of the worker's and preparations' methods, innermost first."""
    while frame is not None:
        if frame.f_code.co_filename in (worker.__file__, preparation.__file__):
            yield frame
        frame = frame.f_back


def _request(frame: FrameType) -> tuple[str, tuple[int, ...]]:
    """Return the request that a native call belongs to, and the sessions of that request."""
    for each in _frames(frame):
        name, values = each.f_code.co_name, each.f_locals
        if name == "_prepare":  # on the thread that prepares turns
            return "StartTurn", (values["self"].start.session,)
        if name in ("_advance", "_end", "_remove", "_fail"):
            return name, (values["generation"].parameters.session,)
        if name == "_abandon":
            return name, (values["session"],)
        if name == "_step":
            turns = values["batched"] or values["running"][:1]
            return name, tuple(turn.parameters.session for turn in turns)
        if name == "_run_command":
            command = values["command"]
            if isinstance(command, preparation.Preparation):
                return "StartTurn", (command.start.session,)
            session = getattr(command, "session", None)
            return type(command).__name__, () if session is None else (session,)
    return "", ()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if FAULT in os.environ:
        break_one(os.environ[FAULT])
    if arguments[0].startswith(FOLDER):
        break_native(Path(arguments.pop(0).removeprefix(FOLDER)))
    process.main(arguments)
