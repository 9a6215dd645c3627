"""The processes of the engine below this one, and waiting for what they do."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psutil


def runners() -> list[psutil.Process]:
    """The runner processes below this one."""
    return _running("koel_tui.engine.runner.process")


def trials() -> list[psutil.Process]:
    """The processes below this one in which a model is tried."""
    return _running("koel_tui.engine.runner.smoke_test")


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until `condition` holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def _running(module: str) -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ended just now
            if module in child.cmdline():
                found.append(child)
    return found
