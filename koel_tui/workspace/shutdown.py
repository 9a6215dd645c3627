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
    """A handler that turns termination signals into a call of `quit_app` on the event loop.

    After such a signal, `forced_exit` ends the process in time even if the event loop is blocked.
    """

    def __init__(
        self, quit_app: Callable[[int], None], forced_exit: "ForcedExit | None" = None
    ) -> None:
        self._quit = quit_app
        self._forced_exit = forced_exit
        self._ignored_signal = 0  # a signal meant for another program
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
        # SIGINT does not arm it, because it may only stop the answer.
        if self._forced_exit is not None and number != signal.SIGINT:
            self._forced_exit.schedule(EXIT_SAVE_FAILED)


async def close_within_deadline(
    backend: "Backend | None",
    workspace: "Workspace",
    window_state: "WindowState",
    tabs: "OpenTabs",
    operations: "ThreadOperations | None" = None,
    *,
    signalled: bool = False,
) -> str:
    """Save and close everything within the deadline. Return the failure; empty if there is none.

    `operations` may have unfinished changes of saved threads, which are awaited.
    """
    if backend is not None:
        backend.client.dispose()  # start saving every thread first, in case the rest is slow
    closing = asyncio.create_task(_close_all(backend, workspace, window_state, tabs, operations))
    await asyncio.wait([closing], timeout=SIGNAL_DEADLINE if signalled else CLOSE_DEADLINE)
    failed = ""
    if not closing.done():
        closing.cancel()
        _log.warning("Not everything ended in time; it is left behind")
    elif error := closing.exception():
        failed = str(error) or type(error).__name__
    return await save_for_recovery(backend, workspace, window_state, tabs) or failed


async def _close_all(
    backend: "Backend | None",
    workspace: "Workspace",
    window_state: "WindowState",
    tabs: "OpenTabs",
    operations: "ThreadOperations | None",
) -> None:
    await window_state.close(tabs)
    await workspace.wait_until_closed()
    if operations is not None:
        await operations.wait_until_done()
    if backend is not None:
        await backend.close()


async def save_for_recovery(
    backend: "Backend | None", workspace: "Workspace", window_state: "WindowState", tabs: "OpenTabs"
) -> str:
    """Write unsaved work to a recovery file. Return the message; empty if all is saved."""
    if backend is not None:
        backend.client.dispose()  # in case the deadline passed before `_close_all` did so
    from koel_tui.workspace.unsaved import unsaved_sessions

    unsaved = unsaved_sessions(backend)
    unsaved_tabs = not window_state.is_saved(tabs) and (window_state.problem or unsaved)
    if not unsaved and not unsaved_tabs:
        return ""
    from koel_tui.workspace.recovery import write_recovery_file

    message = await write_recovery_file(
        backend, unsaved, workspace, tabs if unsaved_tabs else None, window_state.problem
    )
    window_state.problem = ""  # report it once: it is in the recovery file or lost
    return message
