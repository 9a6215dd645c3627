"""Parsing of llama.cpp's output, whose format is not a stable interface.

All parsing of its output is in this module, so that a format change in an upgrade affects one
place; `tests/test_llama_log_parsing.py` tests it against the installed version.
"""

import logging
import re
from collections.abc import Mapping
from types import MappingProxyType

LOG_LEVELS: Mapping[int, int] = MappingProxyType(
    {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
)
"""`GGML_LOG_LEVEL_*` of ggml.h mapped to `logging` levels; the bindings' own map is outdated."""

LOG_CONTINUATION = 5
"""The level of text that continues the previous line."""

NO_BACKTRACE_VARIABLE = "GGML_NO_BACKTRACE"
"""Environment variable; unless it is set, a failed assertion starts a debugger before the abort."""

_DIRECTORY = re.compile(r"^\S*/")
"""The build directory in an assertion's source path: long, and of no use to the reader."""
_UNKNOWN_MODEL = re.compile(
    r"unknown model architecture|number of tensors|missing tensor|too many tensors|wrong shape"
    r"|key not found|wrong array length|hyperparameters|unknown pre-tokenizer"
)
_USED_FEATURE = re.compile(r"(\w+) = 1")


def parse_error(line: str) -> str:
    """Return the message of a line logged as an error, without the leading function name."""
    return line.split(": ", 1)[-1] if ": " in line[:40] else line


def is_unknown_model(reason: str) -> bool:
    """Return whether llama.cpp rejects a file because it does not know this kind of model."""
    return _UNKNOWN_MODEL.search(reason) is not None


def parse_assertion(output: str) -> str:
    """Return the last assertion in a process's output, or '' if there is none."""
    lines = reversed(output.splitlines())
    return next((_DIRECTORY.sub("", line.strip()) for line in lines if "ASSERT" in line), "")


def parse_used_features(system_info: str) -> tuple[str, ...]:
    """Return the instruction sets and options that `llama_print_system_info` reports as used."""
    return tuple(_USED_FEATURE.findall(system_info))
