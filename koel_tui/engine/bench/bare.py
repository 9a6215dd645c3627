"""The bare loop, run in a child process."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from koel_tui.engine.errors import EngineError
from koel_tui.system.processes import kill_and_wait, module_command


@dataclass(frozen=True, slots=True)
class BareResult:
    """Results of the bare loop: speeds in tokens/s, times in seconds.

    `load` is measured from the start of its process, `read` is the prefill time of all prompts,
    `decode_by_threads` has the speed with each number of CPU threads that was tried,
    `out_s` and `in_s` are the times of copying `state_bytes` of context to memory and back.
    """

    load: float
    read: float
    prefill: float
    decode_by_threads: Mapping[int, float]
    state_bytes: int
    out_s: float
    in_s: float

    @property
    def threads(self) -> int:
        """The number of CPU threads with which decoding is fastest."""
        return max(self.decode_by_threads, key=lambda threads: self.decode_by_threads[threads])

    @property
    def decode(self) -> float:
        """The speed with this number of threads."""
        return self.decode_by_threads[self.threads]


async def run_bare(
    model: Path, *, context_tokens: int, prompt_tokens: int, output_tokens: int, sequences: int = 1
) -> BareResult:
    """Prefill and generate the given tokens in each sequence. Raises `EngineError`."""
    begin = time.time()  # `time.time`, because both processes share this clock
    numbers = (context_tokens, prompt_tokens, output_tokens, sequences)
    process = await asyncio.create_subprocess_exec(
        *module_command("koel_tui.engine.bench.bare_loop", str(model), *map(str, numbers)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, problem = await process.communicate()
    finally:
        await kill_and_wait(process)
    if process.returncode:
        last = problem.decode(errors="replace").strip().splitlines()[-1:]
        raise EngineError(
            f"The bare llama.cpp loop ended with code {process.returncode} ({''.join(last)}). "
            f"Is {model.name} a model that koel-chat can chat with?"
        )
    figures = json.loads(output)
    return BareResult(
        load=figures["loaded_at"] - begin,
        read=figures["read"],
        prefill=figures["prefill"],
        decode_by_threads={int(each): speed for each, speed in figures["decode"].items()},
        state_bytes=figures["state_bytes"],
        out_s=figures["out"],
        in_s=figures["in"],
    )
