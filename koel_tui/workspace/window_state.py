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


class WindowState:
    """Reads and writes the persistent state in one worker thread, in order.

    Without a directory nothing is persisted. I/O errors are passed to `on_error` only once; the app
    keeps running.
    """

    def __init__(self, directory: Path | None, on_error: Callable[[str], None]) -> None:
        self._directory = directory
        self._on_error = on_error
        self._worker: ThreadPoolExecutor | None = None
        self._tabs: OpenTabsFile | None = None
        self._saved: OpenTabs | None = None
        self._writing: asyncio.Future[None] | None = None
        self._has_failed = False
        self.problem = ""
        """The reason why the tabs cannot be saved at present; empty if they can."""

    async def load_tabs(self) -> OpenTabs:
        """Return the tabs to restore; from then on `save_soon` saves those of this app."""
        directory = self._directory
        if directory is None:
            return OpenTabs()
        tabs_file = OpenTabsFile(directory)

        def read() -> OpenTabs:
            private_directory(directory)
            return tabs_file.open()

        self._worker = ThreadPoolExecutor(1, "window state")
        tabs = await self._run(read)
        if tabs is None:
            self.problem = f"{directory} cannot be used."
            return OpenTabs()
        self._tabs, self._saved = tabs_file, tabs
        for problem in tabs_file.problems:
            self._on_error(problem)
        return tabs

    async def load_history(self) -> list[Draft]:
        """Return the prompts sent in earlier runs, oldest first."""
        history = self._history
        return [] if history is None else await self._run(history.read) or []

    def append_history(self, draft: Draft) -> None:
        """Add a prompt to the history."""
        history = self._history
        if history is not None:
            self._submit(lambda: history.append(draft))

    def save_soon(self, tabs: OpenTabs) -> None:
        """Save the tabs, unless they are unchanged or a save is still running."""
        tabs_file = self._tabs
        if tabs_file is None or tabs == self._saved:
            return
        if self._writing is not None and not self._writing.done():
            return

        self._writing = self._submit(lambda: self._write(tabs_file, tabs))

    async def save_now(self, tabs: OpenTabs) -> None:
        """Save the tabs before returning; `problem` is the error, empty if there is none."""
        tabs_file = self._tabs
        if tabs_file is not None:
            await self._run(lambda: self._write(tabs_file, tabs))

    async def close(self, tabs: OpenTabs) -> None:
        """Save the tabs if they have changed, and release their file for another app instance."""
        tabs_file, self._tabs = self._tabs, None
        if tabs_file is not None:
            await self._run(lambda: self._write(tabs_file, tabs))
            await self._run(tabs_file.close)
        worker, self._worker = self._worker, None
        if worker is not None:
            await asyncio.to_thread(worker.shutdown)

    def is_saved(self, tabs: OpenTabs) -> bool:
        """Return whether these tabs are saved."""
        return tabs == self._saved

    def _write(self, tabs_file: OpenTabsFile, tabs: OpenTabs) -> None:
        # Compared in the worker thread, because an earlier save may still run when this is queued.
        if tabs != self._saved:
            self.problem = self._try_write(tabs_file, tabs)
            self._saved = self._saved if self.problem else tabs

    def _try_write(self, tabs_file: OpenTabsFile, tabs: OpenTabs) -> str:
        """Save the tabs; return the error, empty if there is none."""
        try:
            if self._directory is not None:
                private_directory(self._directory)  # recreate it if it was removed
            tabs_file.write(tabs)
        except OSError as error:
            return f"{error.strerror or error}: {self._directory}."
        except DirectoryError as error:
            return str(error)
        return ""

    @property
    def _history(self) -> PromptHistoryFile | None:
        if self._directory is None or self._worker is None:
            return None
        return PromptHistoryFile(self._directory / "history.jsonl")

    def _submit(self, job: Callable[[], None]) -> "asyncio.Future[None]":
        return asyncio.ensure_future(self._run(job))

    async def _run(self, job: Callable[[], T]) -> T | None:
        """Run `job` in the worker thread. Return its result, or None if it failed."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, job)
        except (OSError, DirectoryError) as error:
            if not self._has_failed:
                self._has_failed = True
                self._on_error(f"Drafts and open tabs cannot be saved: {error}")
        return None


def remove_state_files(directory: Path) -> None:
    """Remove the state files, which are not encrypted, from a directory. Raises `OSError`."""
    for pattern in ("tabs-*.json", "tabs-*.json.damaged", "history.jsonl"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)
