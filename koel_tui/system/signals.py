"""Handlers of termination signals, and the exit codes of a shutdown."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from koel_tui.system.forced_exit import ForcedExit

EXIT_SAVE_FAILED = 74
"""The exit code when not everything could be saved."""
SIGNAL_EXIT = 128
"""The base of the exit code after a signal; the signal number is added."""

_SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))
)


class Signals:
    """A handler that turns termination signals into a call of `quit_app` on the event loop.

    After such a signal, `forced_exit` ends the process in time even if the event loop is blocked.
    """

    def __init__(
        self, quit_app: Callable[[int], None], forced_exit: "ForcedExit | None" = None
    ) -> None:
        self._quit = quit_app
        self._forced_exit = forced_exit
        self._ignored_signal = 0  # the number of a signal meant for another program
        self._previous_handlers: dict[int, Any] = {}

    def install(self) -> None:
        """Install the handlers. An event loop outside the main thread cannot, and does nothing."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            before = signal.getsignal(number)
            try:
                loop.add_signal_handler(number, self._on_signal, number)
            except (NotImplementedError, RuntimeError, ValueError):
                return
            # Runs even while the loop is blocked; the loop still gets the signal by its wakeup fd.
            signal.signal(number, self._schedule_exit)
            self._previous_handlers[number] = before

    @contextmanager
    def without_interrupt(self) -> Iterator[None]:
        """Context manager that leaves ctrl+c to another program on this terminal."""
        if signal.SIGINT not in self._previous_handlers:
            yield
            return
        # Not set to SIG_IGN, because the other program would inherit that.
        self._ignored_signal = signal.SIGINT
        try:
            yield
        finally:
            self._ignored_signal = 0

    def restore(self) -> None:
        """Restore the previous signal handlers."""
        loop = asyncio.get_running_loop()
        for number, before in self._previous_handlers.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)
        self._previous_handlers.clear()

    def _on_signal(self, number: int) -> None:
        if number != self._ignored_signal:
            self._quit(SIGNAL_EXIT + number)

    def _schedule_exit(self, number: int, _: object) -> None:
        # Not for SIGINT, which may only stop the answer.
        if self._forced_exit is not None and number != signal.SIGINT:
            self._forced_exit.schedule(EXIT_SAVE_FAILED)


async def run_until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Run `work` and return its exit code, or that of the signal that cancelled it."""
    from koel_tui.system.forced_exit import ForcedExit

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
