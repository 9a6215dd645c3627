"""Opening saved threads: from the list of threads, and the one named at startup."""

from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING

from textual.app import App

from koel_tui.ui.app.main_screen import MainScreen
from koel_tui.ui.keys.hints import key_of
from koel_tui.workspace.runtime import STILL_STARTING

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.workspace.runtime import Runtime
    from koel_tui.workspace.saved_threads import SavedThread
    from koel_tui.workspace.thread_operations import ThreadOperations


class ThreadOpener:
    """Opens saved threads in tabs, and shows their list."""

    def __init__(self, app: App[int], main: MainScreen, runtime: "Runtime") -> None:
        self.operations: ThreadOperations | None = None
        """The operations on saved threads; None until the list was shown."""
        self._app = app
        self._main = main
        self._runtime = runtime
        self._show_error = partial(app.notify, severity="error")

    def show_list(self) -> None:
        """Show the saved threads and open the chosen one."""
        backend = self._runtime.backend
        if backend is None:
            self._app.notify(STILL_STARTING)
        else:
            self._app.run_worker(self._show_panel(backend), group="choose", exclusive=True)

    async def check_saved(self, backend: "Backend", requested: str | None) -> None:
        """Report damaged files, and open the thread requested at startup, given by id or title."""
        from koel_tui.workspace.saved_threads import find_thread, saved_threads

        threads = await self._list_or_report(saved_threads(backend.storage))
        for thread in threads:
            if thread.damage:
                self._show_error(f"{thread.title} is damaged and was skipped: {thread.damage}")
        if requested is None:
            return
        found = find_thread(threads, requested)
        if isinstance(found, str):  # the reason why there is no such thread
            text = f"{found} {key_of(self._app, 'tab.open')} lists all."
            self._app.notify(text, severity="warning")
        else:
            # The app's queue runs the user's actions too, so they do not overlap with the opening.
            self._app.call_later(self._open_requested, found)

    async def _open_requested(self, thread: "SavedThread") -> None:
        """Open the thread in place of the empty tab that the app opened for it."""
        placeholder = self._main.workspace.active
        await self._open(thread)
        # Still there if the thread already has another tab, or cannot be opened.
        self._main.workspace.close_if_empty(placeholder)
        await self._main.show_active()

    async def _show_panel(self, backend: "Backend") -> None:
        from koel_tui.ui.library.library_panel import LibraryPanel
        from koel_tui.workspace.thread_operations import ThreadOperations

        if self.operations is None:
            self.operations = ThreadOperations(
                backend,
                self._main.workspace,
                self._main.on_conversation_changed,
                self._show_error,
            )
        threads = await self._list_or_report(self.operations.list_threads())
        await self._app.push_screen(
            LibraryPanel(threads, self.operations, lambda: self._runtime.idle_text), self._open
        )

    async def _list_or_report(self, listing: "Awaitable[list[SavedThread]]") -> "list[SavedThread]":
        """Return the listed threads; if the listing fails, show the error and return none."""
        try:
            return await listing
        except Exception as error:
            self._show_error(f"The saved threads cannot be listed: {error}")
            return []

    async def _open(self, thread: "SavedThread | None") -> None:
        """Open the thread in a tab, and show the found message; None means that none was chosen."""
        if thread is None:
            return
        workspace, pane = self._main.workspace, self._main.pane
        pane.store_view_state()
        await self._main.open(workspace.open(thread.id, thread.title))
        is_open = workspace.active.thread_id == thread.id  # false if `open` showed an error
        if thread.message_id and is_open:
            pane.show_message(workspace.active, thread.message_id)
