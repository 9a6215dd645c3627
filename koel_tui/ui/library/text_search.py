"""Full-text search in all threads while the query is typed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.timer import Timer
from textual.widget import Widget

from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.storage.search.thread_index import Hit, ThreadIndex

DEBOUNCE = 0.2
"""Debounce interval in seconds: the search starts after this time without a key."""
_POLL_INTERVAL = 0.2
_MAX_HITS = 50
_GROUP = "search"


class TextSearch:
    """A debounced search for the latest query, with its hits and its state."""

    def __init__(
        self,
        host: Widget,
        index: "ThreadIndex | None",
        index_progress: Callable[[], str],
        on_hits_changed: Callable[[], None],
        on_state_changed: Callable[[], None],
    ) -> None:
        """The search ends with its `host`.

        `index_progress` returns the progress of other indexing.
        """
        self.hits: Sequence[Hit] = ()
        self.state = ""
        """Note about the hits, for instance that some may be missing; empty if complete."""
        self._host = host
        self._index = index
        self._index_progress = index_progress
        self._on_hits_changed = on_hits_changed
        self._on_state_changed = on_state_changed
        self._progress = ""
        self._timer: Timer | None = None

    def start(self, query: str) -> None:
        """Clear the hits, and search for `query` after the debounce interval."""
        self._host.workers.cancel_group(self._host, _GROUP)
        if self._timer is not None:
            self._timer.stop()
        self.hits, self.state, self._timer = (), "", None
        if not query.strip():
            return
        if self._index is None:
            self.state = "Only titles are searched here, not messages."
            return
        # Pass a function instead of a coroutine: the worker may be cancelled before it starts.
        run: Callable[[], Awaitable[None]] = partial(self._run, self._index, query)
        self._timer = self._host.set_timer(
            DEBOUNCE, partial(self._host.run_worker, run, group=_GROUP)
        )

    async def _run(self, index: "ThreadIndex", query: str) -> None:
        """Show the hits of the current index, update the index, and search again."""
        try:
            self._show(await index.find(query, _MAX_HITS))
            await self._update_index(index)
            self._show(await index.find(query, _MAX_HITS))
            if index.problem:
                self._set_state(safe_line(index.problem))
        except Exception as error:
            problem = str(error) or type(error).__name__
            self._host.notify(problem, severity="error")
            self._set_state("Only titles were searched.")

    async def _update_index(self, index: "ThreadIndex") -> None:
        self._progress = ""
        reader = asyncio.create_task(index.refresh(self._on_progress))
        try:
            while not (await asyncio.wait([reader], timeout=_POLL_INTERVAL))[0]:
                progress = self._progress or self._index_progress()
                self._set_state(f"{progress}: hits may be missing" if progress else "")
            await reader
        finally:
            reader.cancel()
        self._set_state("")

    def _on_progress(self, done: int, total: int) -> None:
        self._progress = f"indexing {done} of {total} threads"

    def _show(self, hits: "Sequence[Hit]") -> None:
        if hits != self.hits:
            self.hits = hits
            self._on_hits_changed()

    def _set_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self._on_state_changed()
