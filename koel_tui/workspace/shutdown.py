"""The ways out of the window: signals, and saving everything before the end."""

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
"""Seconds that saving and unloading may take; after that the window ends all the same."""
SIGNAL_DEADLINE = 1.5
"""The same once a signal came: who sends one goes on to kill soon."""

EXIT_SAVE_FAILED = 74
SIGNAL_EXIT = 128
"""What the exit code of a program ended by a signal begins with."""

_SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))
)


class Signals:
    """Turns the signals that end a program into a call on the event loop.

    From then on the process ends in time even if the loop does not get to it: by the `hard_end`.
    """

    def __init__(self, leave: Callable[[int], None], hard_end: "ForcedExit | None" = None) -> None:
        self._leave = leave
        self._hard_end = hard_end
        self._left_alone = 0  # a signal that is another program's
        self._before: dict[int, Any] = {}

    def catch(self) -> None:
        """Take over the signals, where this loop can; a loop beside the main thread cannot."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            before = signal.getsignal(number)
            try:
                loop.add_signal_handler(number, self._on_signal, number)
            except (NotImplementedError, RuntimeError, ValueError):
                return
            # Called even while the loop is held up; the loop hears of the signal by itself.
            signal.signal(number, self._arm)
            self._before[number] = before

    @contextmanager
    def without_interrupt(self) -> Iterator[None]:
        """Leave ctrl+c to another program on this terminal for a block."""
        if signal.SIGINT not in self._before:
            yield
            return
        # Not ignored by the process, which the other program would inherit.
        self._left_alone = signal.SIGINT
        try:
            yield
        finally:
            self._left_alone = 0

    def release(self) -> None:
        """Give the signals back to who had them."""
        loop = asyncio.get_running_loop()
        for number, before in self._before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)
        self._before.clear()

    def _on_signal(self, number: int) -> None:
        if number != self._left_alone:
            self._leave(SIGNAL_EXIT + number)

    def _arm(self, number: int, _: object) -> None:
        # Not by an interrupt, which may be meant for the answer alone.
        if self._hard_end is not None and number != signal.SIGINT:
            self._hard_end.arm(EXIT_SAVE_FAILED)


async def close_in_time(
    backend: "Backend | None",
    desk: "Workspace",
    memory: "WindowState",
    tabs: "OpenTabs",
    actions: "ThreadOperations | None" = None,
    *,
    signalled: bool = False,
) -> str:
    """Save and end everything, and return what of it failed; empty when nothing did.

    `actions` are those whose changes of saved threads may still be under way.
    """
    if backend is not None:
        backend.client.dispose()  # every thread is being saved from now on, whatever else is slow
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
    """Keep elsewhere what could not be saved; return what to say of it, empty when all is saved."""
    if backend is not None:
        backend.client.dispose()  # where the time was up before it came to that
    from koel_tui.workspace.unsaved import left_unsaved

    unsaved = left_unsaved(backend)
    unkept = not memory.holds(tabs) and (memory.problem or unsaved)
    if not unsaved and not unkept:
        return ""
    from koel_tui.workspace.recovery import put_aside

    said = await put_aside(backend, unsaved, desk, tabs if unkept else None, memory.problem)
    memory.problem = ""  # it is in that file, or nowhere: once is enough
    return said
