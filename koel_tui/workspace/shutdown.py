"""Shutdown of the app: saving everything before the exit."""

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.workspace.open_tabs import OpenTabs
    from koel_tui.workspace.thread_operations import ThreadOperations
    from koel_tui.workspace.window_state import WindowState
    from koel_tui.workspace.workspace import Workspace

_log = logging.getLogger(__name__)

CLOSE_DEADLINE = 5.0
"""Seconds allowed for saving and unloading; after that the app exits anyway."""
SIGNAL_DEADLINE = 1.5
"""The shorter deadline after a signal, in seconds, because SIGKILL usually follows."""


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
        _log.warning("Not everything was closed in time; the rest is abandoned")
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
