"""What llama.cpp says in words and numbers that nobody has promised to keep.

All that the program reads out of its output is read here, so that an upgrade that says it in
another way is seen in one place: `tests/test_llama_log_parsing.py` asks the one that is installed.
"""

import logging
import re
from collections.abc import Mapping
from types import MappingProxyType

LOG_LEVELS: Mapping[int, int] = MappingProxyType(
    {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
)
"""Its levels, `GGML_LOG_LEVEL_*` in ggml.h, as `logging` has them; the bindings' own are old."""

LOG_CONTINUED = 5
"""The level of a text that goes on with the line before."""

NO_DEBUGGER = "GGML_NO_BACKTRACE"
"""Set in the environment, an assertion ends the process; else it starts a debugger on it first."""

_DIRECTORY = re.compile(r"^\S*/")
"""Where it was built: it says nothing, and takes a line."""
_USED = re.compile(r"(\w+) = 1")


def error_in(line: str) -> str:
    """Return what went wrong, of a line logged as an error: without the function it begins with."""
    return line.split(": ", 1)[-1] if ": " in line[:40] else line


def assertion_in(output: str) -> str:
    """Return the last assertion in what a process wrote, '' when it died of none."""
    lines = reversed(output.splitlines())
    return next((_DIRECTORY.sub("", line.strip()) for line in lines if "ASSERT" in line), "")


def used_in(system_info: str) -> tuple[str, ...]:
    """Return the instruction sets and options that `llama_print_system_info` says are used."""
    return tuple(_USED.findall(system_info))
