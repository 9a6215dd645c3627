"""The state persisted between runs: the open tabs with their drafts, and the prompt history."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from koel_tui.conversation.drafts import Draft
from koel_tui.paths import DirectoryError, private_directory
from koel_tui.workspace.open_tabs import OpenTabs
from koel_tui.workspace.open_tabs_file import OpenTabsFile
from koel_tui.workspace.prompt_history_file import PromptHistoryFile

T = TypeVar("T")

SAVE_INTERVAL_S = 1.0
"""The minimum time in seconds between two saves of the tabs, also after an error."""


class WindowState:
    """Reads and writes the persistent state in one worker thread, in the order of the calls.

    Without a directory nothing is persisted. `on_error` is called for each damaged file, but only
    for the first I/O error, because later ones usually have the same cause.
    """

    def __init__(self, directory: Path | None, on_error: Callable[[str], None]) -> None:
        self._directory = directory
        self._on_error = on_error
        self._worker: ThreadPoolExecutor | None = None
        self._tabs_file: OpenTabsFile | None = None
        self._history_file: PromptHistoryFile | None = None
        self._saved_tabs: OpenTabs | None = None
        self._writing: asyncio.Future[None] | None = None
        self._changed = asyncio.Event()
        self._is_error_reported = False
        self.problem = ""
        """The reason why the tabs cannot be saved at present; empty if they can."""

    @property
    def is_open(self) -> bool:
        """True from a successful `load_tabs` to `close`: only then are tabs saved."""
        return self._tabs_file is not None

    async def load_tabs(self) -> OpenTabs:
        """Return the tabs to restore. Only after this call, tabs and prompts are saved."""
        directory = self._directory
        if directory is None:
            return OpenTabs()
        tabs_file = OpenTabsFile(directory)

        def read() -> OpenTabs:
            private_directory(directory)
            return tabs_file.open()

        self._worker = ThreadPoolExecutor(1, "window state")
        self._history_file = PromptHistoryFile(directory / "history.jsonl")
        tabs = await self._run(read)
        if tabs is None:
            self.problem = f"{directory} cannot be used. Check its permissions."
            return OpenTabs()
        self._tabs_file, self._saved_tabs = tabs_file, tabs
        for problem in tabs_file.problems:
            self._on_error(problem)
        return tabs

    async def load_history(self) -> list[Draft]:
        """Return the prompts sent in earlier runs, oldest first."""
        file = self._history_file
        return [] if file is None else await self._run(file.read) or []

    def append_history(self, draft: Draft) -> None:
        """Add a prompt to the history."""
        file = self._history_file
        if file is not None:
            self._submit(lambda: file.append(draft))

    def mark_changed(self) -> None:
        """Let `save_changes` save the tabs, because they or a draft may have changed."""
        self._changed.set()

    async def save_changes(
        self, current: Callable[[], OpenTabs], on_problem: Callable[[], None]
    ) -> None:
        """Save the current tabs soon after each change, and retry after an error, until `close`.

        `on_problem` is called when `problem` changes.
        """
        while self.is_open:
            await self._changed.wait()
            self._changed.clear()
            before = self.problem
            await self.save_now(current())
            if self.problem != before:
                on_problem()
            await asyncio.sleep(SAVE_INTERVAL_S)
            if self.problem:
                self._changed.set()

    def save_soon(self, tabs: OpenTabs) -> None:
        """Start to save the tabs, unless they are unchanged or a save is still running.

        The app calls this again and again, so tabs that are skipped are saved by a later call.
        """
        tabs_file = self._tabs_file
        if tabs_file is None or tabs == self._saved_tabs:
            return
        if self._writing is None or self._writing.done():
            self._writing = self._submit(lambda: self._write(tabs_file, tabs))

    async def save_now(self, tabs: OpenTabs) -> None:
        """Save the tabs if they have changed; then `problem` is the error, empty if none."""
        tabs_file = self._tabs_file
        if tabs_file is not None:
            await self._run(lambda: self._write(tabs_file, tabs))

    async def close(self, tabs: OpenTabs) -> None:
        """Save the tabs if they have changed, and release their file for another app instance."""
        tabs_file, self._tabs_file = self._tabs_file, None
        if tabs_file is not None:
            await self._run(lambda: self._write(tabs_file, tabs))
            await self._run(tabs_file.close)
        worker, self._worker, self._history_file = self._worker, None, None
        if worker is not None:
            await asyncio.to_thread(worker.shutdown)

    def is_saved(self, tabs: OpenTabs) -> bool:
        """Return whether these tabs are the ones in the file."""
        return tabs == self._saved_tabs

    def _write(self, tabs_file: OpenTabsFile, tabs: OpenTabs) -> None:
        # Compared in the worker thread, because an earlier save may still run when this is queued.
        self.problem = "" if tabs == self._saved_tabs else _try_write(tabs_file, tabs)
        if not self.problem:
            self._saved_tabs = tabs

    def _submit(self, job: Callable[[], None]) -> "asyncio.Future[None]":
        return asyncio.ensure_future(self._run(job))

    async def _run(self, job: Callable[[], T]) -> T | None:
        """Run `job` in the worker thread. Return its result, or None if it failed."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, job)
        except (OSError, DirectoryError) as error:
            if not self._is_error_reported:
                self._is_error_reported = True
                self._on_error(f"Drafts and open tabs cannot be saved: {error}")
        return None


def _try_write(tabs_file: OpenTabsFile, tabs: OpenTabs) -> str:
    """Save the tabs; return the error, empty if there is none."""
    try:
        private_directory(tabs_file.directory)  # it may have been removed since the start
        tabs_file.write(tabs)
    except OSError as error:
        return f"{error.strerror or error}: {tabs_file.directory}."
    except DirectoryError as error:
        return str(error)
    return ""


def remove_state_files(directory: Path) -> None:
    """Remove the state files, which are not encrypted, from a directory. Raises `OSError`."""
    for pattern in ("tabs-*.json", "tabs-*.json.damaged", "history.jsonl"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)
