"""Smoke test of one model file: load it and generate one token in a process with limits.

Started as `python -m koel_tui.engine.runner.smoke_test FILE MEMORY_BYTES CPU_SECONDS`. The file is
untrusted, and llama.cpp may end the process. The result is one line of JSON on stdout.
"""

import json
import math
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from koel_tui.llama_log_parsing import NO_BACKTRACE_VARIABLE

_MAX_OUTPUT_BYTES = 1024 * 1024
_ENVIRONMENT = {
    # No GPU: its driver is not tested, and reserves more address space than the limit allows.
    "CUDA_VISIBLE_DEVICES": "-1",
    "HIP_VISIBLE_DEVICES": "-1",
    "GGML_VK_VISIBLE_DEVICES": "",
    NO_BACKTRACE_VARIABLE: "1",
}
_THREADS, _CONTEXT_TOKENS = 2, 256


def main(arguments: list[str]) -> None:
    """Test the file and print the result."""
    path, memory_bytes, cpu_s = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    _set_limits(memory_bytes, cpu_s)
    os.environ.update(_ENVIRONMENT)
    print(json.dumps(_test(path)), flush=True)


def _set_limits(memory_bytes: int, cpu_s: int) -> None:
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, _MAX_OUTPUT_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # some systems lack some limits
            resource.setrlimit(kind, (limit, limit))


def _test(path: Path) -> dict[str, Any]:
    import logging

    from koel_tui.engine.errors import EngineError
    from koel_tui.engine.native.log import NativeLog

    logger = logging.Logger("smoke test")  # no output: errors contain the reasons
    logger.addHandler(logging.NullHandler())
    try:
        with NativeLog(logger) as log:
            try:
                return _test_model(path, log)
            except EngineError as error:
                return {"reason": log.reason() or str(error)}
    except MemoryError:
        return {"reason": "it needs too much memory for a file of its size"}


def _test_model(path: Path, log: Any) -> dict[str, Any]:
    from koel_tui.chat_templates import find_template
    from koel_tui.engine.native.context.llama_context import Context
    from koel_tui.engine.native.weights import Model
    from koel_tui.engine.types import ModelSpec

    spec = ModelSpec(path, gpu_layers=0, threads=_THREADS, batch_tokens=32)
    model = Model(spec, log)
    context = Context(model, spec, log, slots=1, context_tokens=_CONTEXT_TOKENS)
    reason = _test_generation(model, context)
    return {
        "reason": reason,
        "architecture": model.metadata("general.architecture"),
        "context_tokens": model.trained_tokens,
        "has_template": bool(model.chat_template),
        "fitting_template": find_template(model.special_tokens()),
    }


def _test_generation(model: Any, context: Any) -> str:
    """Generate a token and decode it; return the problem, '' if there is none."""
    import llama_cpp

    from koel_tui.engine.native.context.token_batch import Chunk
    from koel_tui.engine.native.sampling.sampler import Sampler
    from koel_tui.protocol.turn_settings import Sampling

    prompt = model.tokenize("Hello", special=False, start=True)[:16]
    if not prompt:
        return "its vocabulary cannot spell a word"
    (row,) = context.decode([Chunk(0, 0, prompt, wants_logits=True)])
    logits = llama_cpp.llama_get_logits_ith(context.handle, row)
    if not logits:
        return "it generates no text"
    if not math.isfinite(logits[0]):
        return "its weights are damaged: its results are not numbers"
    token = Sampler(Sampling(temperature=0), model).sample(context, row)
    model.piece(token, special=True)
    context.decode([Chunk(0, len(prompt), [token], wants_logits=True)])
    return ""


if __name__ == "__main__":
    main(sys.argv[1:])
