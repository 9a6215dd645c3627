"""A process that uses one CPU core, as another program would.

`python -m koel_tui.engine.bench.busy_process` runs until its stdin is closed. So it also ends if
the process that started it is killed.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from koel_tui.system.processes import kill_and_wait, module_command


@asynccontextmanager
async def busy_process() -> AsyncIterator[None]:
    """Keep one CPU core busy meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *module_command("koel_tui.engine.bench.busy_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Linux divides the CPU time between sessions
    )
    try:
        if process.stdout is not None:
            await process.stdout.readline()  # it runs
        yield
    finally:
        await kill_and_wait(process)


def _spin() -> None:
    """Use the CPU until stdin is closed."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
    print("busy", flush=True)
    while True:
        pass


if __name__ == "__main__":
    _spin()
