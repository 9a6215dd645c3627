"""A test of an untrusted model in a child process, which the model may crash."""

import asyncio
import contextlib
import importlib.metadata
import json
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from koel_tui import paths
from koel_tui.llama_log_parsing import parse_assertion
from koel_tui.models.downloaded import model_files
from koel_tui.models.gguf import ModelFileError, check_gguf
from koel_tui.models.ollama import explain_failure
from koel_tui.models.verified_models import ModelProperties, VerifiedModels, sha256_of
from koel_tui.system.processes import kill_and_wait, module_command, signal_name

_MIN_TIMEOUT_S = 60.0
_MIN_BYTES_PER_S = 100_000_000
"""Speed of a slow disk; a file that takes over a minute at it gets a longer timeout."""
_EXTRA_BYTES = 4 * 1024**3
"""Address space for interpreter, libraries and buffers, in addition to the weights."""
_MAX_OUTPUT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of a model test; `reason` is why it failed.

    `has_template` is whether the file has a chat template, `fitting_template` the built-in one
    that fits its vocabulary, '' if none does. `remembered` is whether the result is cached, for
    an unchanged file that passed before; then `seconds` is 0.
    """

    ok: bool
    reason: str = ""
    architecture: str = ""
    context_tokens: int = 0
    seconds: float = 0.0
    has_template: bool = True
    fitting_template: str = ""
    remembered: bool = False


def verified_models() -> VerifiedModels:
    """Return the cache of verified models for the installed llama.cpp version."""
    version = importlib.metadata.version("llama-cpp-python")
    return VerifiedModels(paths.state_dir() / "models.json", version)


async def probe_model(
    path: Path, verified: VerifiedModels, *, again: bool = False, timeout_s: float | None = None
) -> ProbeResult:
    """Test a model: check its header, then load it and generate a token in a limited process.

    Models that passed before are not tested again unless `again`. A crash does not affect this
    process. Cancelling ends the child process.
    """
    files = model_files(path)
    try:
        for file in files:
            await asyncio.to_thread(check_gguf, file)
        cached = None if again else await asyncio.to_thread(verified.find, files)
        if cached is not None:
            return _cached_result(cached)
        digest = await _hash_files(files)
        cached = None if again else await asyncio.to_thread(verified.find_by_hash, digest)
        if cached is not None:
            await _add_to_cache(verified, files, digest, cached)
            return _cached_result(cached)
        size = await asyncio.to_thread(_size_of, files)
    except ModelFileError as error:
        return ProbeResult(False, error.reason)
    except OSError as error:
        return ProbeResult(False, f"it cannot be read ({error.strerror or error})")
    result = await _run_test(path, size, timeout_s or max(_MIN_TIMEOUT_S, size / _MIN_BYTES_PER_S))
    if explanation := await asyncio.to_thread(explain_failure, path, result.reason):
        return replace(result, reason=explanation)
    if result.ok:
        properties = ModelProperties(
            result.architecture,
            result.context_tokens,
            result.has_template,
            result.fitting_template,
        )
        await _add_to_cache(verified, files, digest, properties)
    return result


def _size_of(files: tuple[Path, ...]) -> int:
    return sum(file.stat().st_size for file in files)


async def _add_to_cache(
    verified: VerifiedModels, files: tuple[Path, ...], digest: str, properties: ModelProperties
) -> None:
    with contextlib.suppress(OSError):  # without a cache entry it is tested again
        await asyncio.to_thread(verified.add, files, digest, properties)


def _cached_result(properties: ModelProperties) -> ProbeResult:
    return ProbeResult(
        True,
        "",
        properties.architecture,
        properties.context_tokens,
        has_template=properties.has_template,
        fitting_template=properties.fitting_template,
        remembered=True,
    )


async def _hash_files(files: tuple[Path, ...]) -> str:
    stop = threading.Event()
    try:
        return await asyncio.to_thread(sha256_of, files, stop)
    finally:
        stop.set()


async def _run_test(path: Path, size: int, timeout_s: float) -> ProbeResult:
    # Files instead of pipes: the test's output is limited, but it might keep a pipe open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        memory_bytes, cpu_s = 2 * size + _EXTRA_BYTES, int(4 * timeout_s) + 1
        start = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *module_command(
                "koel_tui.engine.runner.smoke_test", str(path), str(memory_bytes), str(cpu_s)
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,  # ctrl+c in the terminal is for the parent only
        )
        try:
            code = await asyncio.wait_for(process.wait(), timeout_s)
        except TimeoutError:
            return ProbeResult(False, f"it produced no output within {timeout_s:.0f} seconds")
        finally:
            await kill_and_wait(process)
        return _parse_result(
            code, _read_text(output), _read_text(errors), time.perf_counter() - start
        )


def _read_text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_MAX_OUTPUT_BYTES).decode("utf-8", "replace")


def _parse_result(code: int, output: str, errors: str, seconds: float) -> ProbeResult:
    if code != 0:
        return ProbeResult(False, f"{_exit_reason(code)}{_error_detail(errors)}", seconds=seconds)
    try:
        result: Any = json.loads(output)
        reason, architecture = str(result["reason"]), str(result.get("architecture", ""))
        tokens = int(result.get("context_tokens", 0))
        has_template = bool(result.get("has_template", True))
        fitting = str(result.get("fitting_template", ""))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
        return ProbeResult(False, "the test gave no readable result", seconds=seconds)
    return ProbeResult(not reason, reason, architecture, tokens, seconds, has_template, fitting)


def _exit_reason(code: int) -> str:
    if code > 0:
        return f"the test ended with exit code {code}"
    return f"llama.cpp crashed ({signal_name(-code)})"


def _error_detail(errors: str) -> str:
    """Return llama.cpp's failed assertion, or the last line of a traceback."""
    detail = parse_assertion(errors)
    if not detail:
        last_line = errors.rstrip().rpartition("\n")[2].strip()
        detail = last_line if "Error" in last_line else ""
    return f": {detail}" if detail else ""
