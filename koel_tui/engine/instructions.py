"""What llama.cpp was built for, asked of a process of its own: here it would stay in memory."""

import asyncio
import contextlib
import re
import sys

_TIMEOUT_S = 30.0
_WORDS = re.compile(r"(\w+) = 1")


async def instruction_sets() -> tuple[str, ...]:
    """Return the names of the instruction sets and options that llama.cpp uses on this computer.

    Raises OSError when it cannot be loaded, with its last words.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # a module in the user's directory must not shadow ours
        "-m",
        "koel_tui.engine.native.instructions",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                process.kill()
            await process.wait()
    if process.returncode:
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        raise OSError(lines[-1] if lines else f"it ended with code {process.returncode}")
    return tuple(_WORDS.findall(output.decode("utf-8", "replace")))
