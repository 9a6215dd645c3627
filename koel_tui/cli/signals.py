"""Orderly shutdown of a command on a signal."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Run `work` and return its exit code, or that of the signal that cancelled it."""
    from koel_tui.system.forced_exit import ForcedExit
    from koel_tui.system.signals import Signals

    task = asyncio.ensure_future(work)
    code = 0
    forced_exit = ForcedExit()

    def on_signal(signal_code: int) -> None:
        nonlocal code
        if not code:  # a second signal must not interrupt saving
            code = signal_code
            forced_exit.schedule(code)
            forced_exit.set_exit_code(code)  # `Signals` may have scheduled it with another code
            task.cancel()

    signals = Signals(on_signal, forced_exit)
    signals.install()
    try:
        return await task
    except asyncio.CancelledError:
        if not code:
            raise
        return code
    finally:
        signals.restore()
