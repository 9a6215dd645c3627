"""Processes of the program's own: how each is started, ended, and spoken of when it has died."""

import asyncio
import contextlib
import signal
import sys


def command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module of the program with the same Python as this one."""
    # -P: a module in the user's directory must not shadow ours.
    return (sys.executable, "-P", "-m", module, *arguments)


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process unless it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            process.kill()


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a process unless it has ended, and wait until it is gone."""
    if process.returncode is None:
        kill(process)
        await process.wait()


def signal_name(number: int) -> str:
    """Return the name of a signal, its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return str(number)
