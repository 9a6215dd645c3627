"""Child processes: their command line, how to end them, and the names of signals."""

import asyncio
import contextlib
import signal
import sys


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module of the program with the current Python."""
    # -P: a module in the user's directory must not shadow ours.
    return (sys.executable, "-P", "-m", module, *arguments)


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process unless it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            process.kill()


async def kill_and_wait(process: asyncio.subprocess.Process) -> None:
    """Kill a process unless it has ended, and wait until it is gone."""
    if process.returncode is None:
        kill(process)
        await process.wait()


def signal_name(number: int) -> str:
    """Return the name of a signal, or its number if it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return str(number)
