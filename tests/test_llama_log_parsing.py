"""The parser of llama.cpp's output, compared with the output of the installed version.

If a test fails after an upgrade, fix `koel_tui/llama_log_parsing.py`.
"""

import logging
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import pytest

from koel_tui.engine.native.log import NativeLog
from koel_tui.llama_log_parsing import (
    LOG_CONTINUATION,
    LOG_LEVELS,
    parse_assertion,
    parse_error,
    parse_used_features,
)
from koel_tui.system.processes import module_command
from tests.models.damaged import patched


class Said(NativeLog):
    """The log lines of llama.cpp, with their levels."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("test"))
        self.lines: list[tuple[int, str]] = []

    def add(self, level: int, text: bytes) -> None:
        self.lines.append((level, text.decode()))


@pytest.fixture
def said() -> Iterator[Said]:
    with Said() as log:
        yield log


def load(path: Path) -> object:
    return llama_cpp.llama_model_load_from_file(bytes(path), llama_cpp.llama_model_default_params())


def test_the_log_levels_of_llama_cpp_are_known(said: Said, tiny_path: Path) -> None:
    model = load(tiny_path)
    llama_cpp.llama_model_free(model)
    assert {LOG_LEVELS[level] for level, text in said.lines if "loaded meta data" in text} == {
        logging.INFO
    }
    dots = [level for level, text in said.lines if text == "."]
    assert dots and set(dots) == {LOG_CONTINUATION}
    assert {level for level, _ in said.lines} <= {*LOG_LEVELS, LOG_CONTINUATION}


def test_the_reason_of_a_llama_cpp_error_follows_the_function_name(
    said: Said, tmp_path: Path
) -> None:
    assert not load(tmp_path / "absent.gguf")
    reasons = [
        parse_error(text.strip())
        for level, text in said.lines
        if LOG_LEVELS[level] == logging.ERROR
    ]
    assert reasons[-1] == "failed to load model"
    assert reasons[0].startswith("failed to open GGUF file") and "absent.gguf" in reasons[0]


def test_an_assertion_ends_the_process_and_is_found_in_its_output(
    tiny_path: Path, tmp_path: Path
) -> None:
    bad = patched(tiny_path, tmp_path / "bad.gguf", "gemma3.block_count", 0)
    trial = module_command("koel_tui.engine.runner.smoke_test", str(bad), str(4 * 1024**3), "60")
    ended = subprocess.run(trial, capture_output=True, text=True, check=False)
    assert ended.returncode == -6, "a debugger was started, or nothing was asserted"
    assert re.fullmatch(r"[\w.-]+:\d+: GGML_ASSERT\(.*\) failed", parse_assertion(ended.stderr))
    assert parse_assertion(ended.stderr.replace("ASSERT", "assume")) == ""


def test_the_instruction_sets_in_use_are_parsed() -> None:
    info = llama_cpp.llama_print_system_info().decode()
    used = parse_used_features(info)
    assert used and set(used) <= set(re.findall(r"\w+", info))
    assert parse_used_features("CPU : AVX = 1 | AVX2 = 0 | FMA = 1 | ") == ("AVX", "FMA")
