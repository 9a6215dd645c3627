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

PAUSE = 0.2
"""Debounce interval in seconds: the search starts after this time without a key."""
_TICK = 0.2
_MOST = 50
_GROUP = "search"


class TextSearch:
    """A debounced search for the latest query, with its hits and its state."""

    def __init__(
        self,
        host: Widget,
        index: "ThreadIndex | None",
        reading: Callable[[], str],
        found: Callable[[], None],
        format_hints: Callable[[], None],
    ) -> None:
        """The search ends with its `host`.

        `reading` returns the progress of other indexing; `found` is called when the hits change,
        `format_hints` when the state changes.
        """
        self.hits: Sequence[Hit] = ()
        self.state = ""
        """Note about the hits, for instance that some may be missing; empty if complete."""
        self._host = host
        self._index = index
        self._reading = reading
        self._found = found
        self._told = format_hints
        self._progress = ""
        self._pause: Timer | None = None

    def begin(self, query: str) -> None:
        """Clear the hits, and search for `query` after the debounce interval."""
        self._host.workers.cancel_group(self._host, _GROUP)
        if self._pause is not None:
            self._pause.stop()
        self.hits, self.state, self._pause = (), "", None
        if not query.strip():
            return
        if self._index is None:
            self.state = "Only titles are searched here, not what is said."
            return
        # Pass a function instead of a coroutine: the worker may be cancelled before it starts.
        run: Callable[[], Awaitable[None]] = partial(self._run, self._index, query)
        self._pause = self._host.set_timer(PAUSE, partial(self._host.run_worker, run, group=_GROUP))

    async def _run(self, index: "ThreadIndex", query: str) -> None:
        """Show the hits of the current index, update the index, and search again."""
        try:
            self._show(await index.find(query, _MOST))
            await self._read(index)
            self._show(await index.find(query, _MOST))
        except Exception as error:
            problem = safe_line(str(error) or type(error).__name__, 400)
            self._host.notify(problem, severity="error", markup=False)
            self._say("Only titles were searched.")

    async def _read(self, index: "ThreadIndex") -> None:
        self._progress = ""
        reader = asyncio.create_task(index.refresh(self._note))
        try:
            while not (await asyncio.wait([reader], timeout=_TICK))[0]:
                how_far = self._progress or self._reading()
                self._say(f"{how_far}: hits may be missing" if how_far else "")
            await reader
        finally:
            reader.cancel()
        self._say("")

    def _note(self, done: int, total: int) -> None:
        self._progress = f"indexing {done} of {total} threads"

    def _show(self, hits: "Sequence[Hit]") -> None:
        if hits != self.hits:
            self.hits = hits
            self._found()

    def _say(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self._told()
