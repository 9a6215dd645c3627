"""The child processes of the engine, and a helper that waits for a condition."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psutil


def runners() -> list[psutil.Process]:
    """Return the runner processes that are descendants of this process."""
    return _running("koel_tui.engine.runner.process")


def trials() -> list[psutil.Process]:
    """Return the descendant processes in which a model is tried."""
    return _running("koel_tui.engine.runner.smoke_test")


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until `condition` holds; fail at the deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def _running(module: str) -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # the process has just ended
            if module in child.cmdline():
                found.append(child)
    return found
