"""The ways out of the window: signals, and saving everything before the end."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from koel_tui.ui.backend import Backend
    from koel_tui.ui.desk import Desk
    from koel_tui.ui.memory import Memory
    from koel_tui.ui.open_tabs import OpenTabs
    from koel_tui.ui.thread_actions import ThreadActions

CLOSE_DEADLINE = 5.0
"""Seconds that saving and unloading may take; after that the window ends all the same."""

EXIT_SAVE_FAILED = 74
SIGNAL_EXIT = 128
"""What the exit code of a program ended by a signal begins with."""

_SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))
)


class Signals:
    """Turns the signals that end a program into a call on the event loop."""

    def __init__(self, leave: Callable[[int], None]) -> None:
        self._leave = leave
        self._before: dict[int, Any] = {}

    def catch(self) -> None:
        """Take over the signals, where this loop can; a loop beside the main thread cannot."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            before = signal.getsignal(number)
            try:
                loop.add_signal_handler(number, self._leave, SIGNAL_EXIT + number)
            except (NotImplementedError, RuntimeError, ValueError):
                return
            self._before[number] = before

    @contextmanager
    def without_interrupt(self) -> Iterator[None]:
        """Leave ctrl+c to another program on this terminal for a block."""
        if signal.SIGINT not in self._before:
            yield
            return
        loop = asyncio.get_running_loop()
        # Not ignored, which the other program would inherit.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        try:
            yield
        finally:
            if signal.SIGINT in self._before:
                loop.add_signal_handler(signal.SIGINT, self._leave, SIGNAL_EXIT + signal.SIGINT)

    def release(self) -> None:
        """Give the signals back to who had them."""
        loop = asyncio.get_running_loop()
        for number, before in self._before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)
        self._before.clear()


async def close_in_time(
    backend: "Backend | None",
    desk: "Desk",
    memory: "Memory",
    tabs: "OpenTabs",
    actions: "ThreadActions | None" = None,
) -> str:
    """Save and end everything, and return what of it failed; empty when nothing did.

    `actions` are those whose changes of saved threads may still be under way.
    """
    failed = ""
    try:
        async with asyncio.timeout(CLOSE_DEADLINE):
            await memory.close(tabs)
            await desk.settle()
            if actions is not None:
                await actions.settle()
            if backend is not None:
                await backend.close()
    except TimeoutError:
        failed = f"The model did not end within {CLOSE_DEADLINE:.0f} seconds."
    except Exception as error:
        failed = str(error) or type(error).__name__
    return await kept_elsewhere(backend, desk, memory, tabs) or failed


async def kept_elsewhere(
    backend: "Backend | None", desk: "Desk", memory: "Memory", tabs: "OpenTabs"
) -> str:
    """Keep elsewhere what could not be saved; return what to say of it, empty when all is saved."""
    if backend is not None:
        backend.client.dispose()  # where the time was up before it came to that
    unsaved = backend.client.unsaved if backend is not None else ()
    unkept = not memory.holds(tabs) and (memory.problem or unsaved)
    if not unsaved and not unkept:
        return ""
    from koel_tui.ui.recovery import put_aside

    said = await put_aside(backend, desk, tabs if unkept else None, memory.problem)
    memory.problem = ""  # it is in that file, or nowhere: once is enough
    return said
