"""llama.cpp's build features, read in a child process to keep the library out of this one."""

import asyncio

from koel_tui.llama_log_parsing import parse_used_features
from koel_tui.system.processes import kill_and_wait, module_command

_TIMEOUT_S = 30.0


async def instruction_sets() -> tuple[str, ...]:
    """Return the names of the instruction sets and options that llama.cpp uses on this computer.

    Raises OSError with the last line of stderr or the exit code if the child process fails.
    """
    process = await asyncio.create_subprocess_exec(
        *module_command("koel_tui.engine.native.build_features"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    finally:
        await kill_and_wait(process)
    if process.returncode:
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        raise OSError(lines[-1] if lines else f"it ended with code {process.returncode}")
    return parse_used_features(output.decode("utf-8", "replace"))
