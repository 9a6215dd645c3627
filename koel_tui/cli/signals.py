"""Orderly shutdown of a command on a signal."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def unless_signalled(work: Coroutine[Any, Any, int]) -> int:
    """Run `work` and return its exit code, or that of the signal that cancelled it."""
    from koel_tui.system.forced_exit import ForcedExit
    from koel_tui.workspace.shutdown import Signals

    task, code, hard_end = asyncio.ensure_future(work), 0, ForcedExit()

    def leave(signalled: int) -> None:
        nonlocal code
        if not code:  # a second signal must not interrupt saving
            code = signalled
            hard_end.arm(code)
            hard_end.settle(code)
            task.cancel()

    signals = Signals(leave, hard_end)
    signals.install()
    try:
        return await task
    except asyncio.CancelledError:
        if not code:
            raise
        return code
    finally:
        signals.restore()
