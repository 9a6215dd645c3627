"""The runner process with one function that raises at a given call.

`KOEL_TEST_FAULT` is `module:name.of.function:number of the call`, counted from 0; `-1` is each.
"""

import importlib
import os
import sys
from typing import Any

from koel_tui.engine import runner

FAULT = "KOEL_TEST_FAULT"


def break_one(fault: str) -> None:
    """Have one call of one function raise."""
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


if __name__ == "__main__":
    if FAULT in os.environ:
        break_one(os.environ[FAULT])
    runner.main(sys.argv[1:])
