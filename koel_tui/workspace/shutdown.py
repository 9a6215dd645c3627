"""Shutdown of the app: signal handling, and saving everything before the exit."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.system.forced_exit import ForcedExit
    from koel_tui.workspace.open_tabs import OpenTabs
    from koel_tui.workspace.thread_operations import ThreadOperations
    from koel_tui.workspace.window_state import WindowState
    from koel_tui.workspace.workspace import Workspace

_log = logging.getLogger(__name__)

CLOSE_DEADLINE = 5.0
"""Seconds allowed for saving and unloading; after that the app exits anyway."""
SIGNAL_DEADLINE = 1.5
"""The shorter deadline after a signal, in seconds, because SIGKILL usually follows."""

EXIT_SAVE_FAILED = 74
SIGNAL_EXIT = 128
"""The base of the exit code after a signal; the signal number is added."""

_SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))
)


class Signals:
    """A handler that turns termination signals into a call of `leave` on the event loop.

    After such a signal, `forced_exit` ends the process in time even if the event loop is blocked.
    """

    def __init__(
        self, leave: Callable[[int], None], forced_exit: "ForcedExit | None" = None
    ) -> None:
        self._leave = leave
        self._forced_exit = forced_exit
        self._left_alone = 0  # a signal meant for another program
        self._before: dict[int, Any] = {}

    def catch(self) -> None:
        """Install the handlers. An event loop outside the main thread cannot, and does nothing."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            before = signal.getsignal(number)
            try:
                loop.add_signal_handler(number, self._on_signal, number)
            except (NotImplementedError, RuntimeError, ValueError):
                return
            # Runs even while the loop is blocked; the loop still gets the signal by its wakeup fd.
            signal.signal(number, self._arm)
            self._before[number] = before

    @contextmanager
    def without_interrupt(self) -> Iterator[None]:
        """Context manager that leaves ctrl+c to another program on this terminal."""
        if signal.SIGINT not in self._before:
            yield
            return
        # Not set to SIG_IGN, because the other program would inherit that.
        self._left_alone = signal.SIGINT
        try:
            yield
        finally:
            self._left_alone = 0

    def release(self) -> None:
        """Restore the previous signal handlers."""
        loop = asyncio.get_running_loop()
        for number, before in self._before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)
        self._before.clear()

    def _on_signal(self, number: int) -> None:
        if number != self._left_alone:
            self._leave(SIGNAL_EXIT + number)

    def _arm(self, number: int, _: object) -> None:
        # SIGINT does not arm it, because it may only stop the answer.
        if self._forced_exit is not None and number != signal.SIGINT:
            self._forced_exit.schedule(EXIT_SAVE_FAILED)


async def close_in_time(
    backend: "Backend | None",
    desk: "Workspace",
    memory: "WindowState",
    tabs: "OpenTabs",
    actions: "ThreadOperations | None" = None,
    *,
    signalled: bool = False,
) -> str:
    """Save and close everything within the deadline. Return the failure; empty if there is none.

    `actions` may have unfinished changes of saved threads, which are awaited.
    """
    if backend is not None:
        backend.client.dispose()  # start saving every thread first, in case the rest is slow
    ending = asyncio.create_task(_end(backend, desk, memory, tabs, actions))
    await asyncio.wait([ending], timeout=SIGNAL_DEADLINE if signalled else CLOSE_DEADLINE)
    failed = ""
    if not ending.done():
        ending.cancel()
        _log.warning("Not everything ended in time; it is left behind")
    elif error := ending.exception():
        failed = str(error) or type(error).__name__
    return await kept_elsewhere(backend, desk, memory, tabs) or failed


async def _end(
    backend: "Backend | None",
    desk: "Workspace",
    memory: "WindowState",
    tabs: "OpenTabs",
    actions: "ThreadOperations | None",
) -> None:
    await memory.close(tabs)
    await desk.settle()
    if actions is not None:
        await actions.settle()
    if backend is not None:
        await backend.close()


async def kept_elsewhere(
    backend: "Backend | None", desk: "Workspace", memory: "WindowState", tabs: "OpenTabs"
) -> str:
    """Write unsaved work to a recovery file. Return the message; empty if all is saved."""
    if backend is not None:
        backend.client.dispose()  # in case the deadline passed before `_end` did so
    from koel_tui.workspace.unsaved import left_unsaved

    unsaved = left_unsaved(backend)
    unkept = not memory.holds(tabs) and (memory.problem or unsaved)
    if not unsaved and not unkept:
        return ""
    from koel_tui.workspace.recovery import put_aside

    said = await put_aside(backend, unsaved, desk, tabs if unkept else None, memory.problem)
    memory.problem = ""  # report it once: it is in the recovery file or lost
    return said
