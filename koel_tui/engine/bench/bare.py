"""Running the bare loop in a process of its own."""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from koel_tui.engine.errors import EngineError


@dataclass(frozen=True, slots=True)
class Bare:
    """What the bare loop needs: speeds in tokens/s, times in seconds.

    `load` counts from the start of its process, `overall` is all tokens written over the whole
    time, reading included.
    """

    load: float
    read: float
    prefill: float
    decode: float
    overall: float
    state_bytes: int
    out_s: float
    in_s: float


async def run_bare(
    model: Path, *, window: int, prompt_tokens: int, output_tokens: int, sequences: int = 1
) -> Bare:
    """Read and write that many tokens in each of `sequences`. Raises `EngineError`."""
    begin = time.time()  # the clock of both processes
    numbers = (window, prompt_tokens, output_tokens, sequences)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # a module in the user's directory must not shadow ours
        "-m",
        "koel_tui.engine.bench.bare_loop",
        str(model),
        *map(str, numbers),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, problem = await process.communicate()
    finally:
        if process.returncode is None:  # the caller has gone
            process.kill()
    if process.returncode:
        last = problem.decode(errors="replace").strip().splitlines()[-1:]
        raise EngineError(
            f"The bare llama.cpp loop ended with code {process.returncode} ({''.join(last)}). "
            f"Is {model.name} a model that koel-chat can chat with?"
        )
    figures = json.loads(output)
    return Bare(
        load=figures["loaded_at"] - begin,
        read=figures["read"],
        prefill=figures["prefill"],
        decode=figures["decode"],
        overall=figures["overall"],
        state_bytes=figures["state_bytes"],
        out_s=figures["out"],
        in_s=figures["in"],
    )
