"""The engine sessions of an agent's threads, at most one per thread."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from koel_tui.agents.snapshots import Snapshots
from koel_tui.engine import EngineSession, SessionClosedError

Opener = Callable[[Path | None], Awaitable[EngineSession]]
"""Opens an engine session, from the snapshot at the path if there is one."""

_CLOSE_TIMEOUT = 5.0
"""Seconds in which `close` saves all sessions; snapshots that take longer are abandoned."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """The session of a thread, which may still be opening, and the adapter it was opened with."""

    lora: str | None
    opening: asyncio.Task[EngineSession]

    @property
    def session(self) -> EngineSession | None:
        """The open session, None while it is opening or if the opening failed."""
        if not self.opening.done() or _has_failed(self.opening):
            return None
        return self.opening.result()

    @property
    def is_usable(self) -> bool:
        """True if a run may use the session or wait for it."""
        if not self.opening.done():
            return True
        return self.session is not None and not self.session.closed


class ThreadSessions:
    """Keeps at most one engine session per thread.

    Opening and closing run in separate tasks, so a cancelled caller leaves neither an untracked
    session nor a half-closed one. With `snapshots`, a released thread is saved and opened again
    from its snapshot.
    """

    def __init__(self, snapshots: Snapshots | None) -> None:
        self._snapshots = snapshots
        self._entries: dict[str, _Entry] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}

    async def get(self, thread_id: str, lora: str | None, opener: Opener) -> EngineSession:
        """Return the session of a thread, a new one if the adapter has changed.

        Raises what `opener` raises, and `SessionClosedError` if the thread is released first.
        """
        entry = self._entries.get(thread_id)
        while entry is not None and (entry.lora != lora or not entry.is_usable):
            await self.release(thread_id)
            entry = self._entries.get(thread_id)  # another caller may have opened a session
        if entry is None:
            entry = self._open(thread_id, lora, opener)
        await asyncio.wait([entry.opening])  # cancelling this does not cancel the opening
        if entry.opening.cancelled():
            raise SessionClosedError
        return entry.opening.result()

    async def release(self, thread_id: str) -> None:
        """Save and close the session of a thread or cancel its opening, if there is one.

        The closing continues if the caller is cancelled.
        """
        self._start_closing(thread_id)
        closing = self._closing.get(thread_id)
        if closing is not None:
            await asyncio.wait([closing])

    async def close(self) -> None:
        """Save and close all sessions except those with an active turn.

        The caller closes the engine next, which fails these turns. Closing their sessions would
        stop the turns instead, as if the user had stopped the answers.
        """
        for thread_id, entry in tuple(self._entries.items()):
            if entry.session is not None and entry.session.generating:
                del self._entries[thread_id]
            else:
                self._start_closing(thread_id)
        if self._closing:
            _, late = await asyncio.wait(tuple(self._closing.values()), timeout=_CLOSE_TIMEOUT)
            for task in late:
                task.cancel()

    def _open(self, thread_id: str, lora: str | None, opener: Opener) -> _Entry:
        async def work() -> EngineSession:
            if (closing := self._closing.get(thread_id)) is not None:
                await asyncio.wait([closing])  # it writes the snapshot that is loaded below
            snapshot = None if self._snapshots is None else self._snapshots.find(thread_id)
            return await opener(snapshot)

        def drop_if_failed(task: asyncio.Task[EngineSession]) -> None:
            if _has_failed(task) and self._entries.get(thread_id) is entry:
                del self._entries[thread_id]

        entry = _Entry(lora, asyncio.create_task(work(), name="engine session open"))
        entry.opening.add_done_callback(drop_if_failed)
        self._entries[thread_id] = entry
        return entry

    def _start_closing(self, thread_id: str) -> None:
        entry = self._entries.pop(thread_id, None)
        if entry is None:
            return
        entry.opening.cancel()  # no effect on an open session
        previous = self._closing.get(thread_id)
        closing = asyncio.create_task(
            self._close(thread_id, entry.opening, previous), name="engine session close"
        )
        self._closing[thread_id] = closing
        closing.add_done_callback(lambda task: self._forget(thread_id, task))

    async def _close(
        self,
        thread_id: str,
        opening: asyncio.Task[EngineSession],
        previous: asyncio.Task[None] | None,
    ) -> None:
        """Save and close the session after `previous`, the last closing of the same thread."""
        await asyncio.wait([opening, *([previous] if previous is not None else [])])
        if _has_failed(opening):
            return
        session = opening.result()
        if self._snapshots is None:
            await session.close()
        else:
            await self._snapshots.save_and_close(thread_id, session)

    def _forget(self, thread_id: str, closing: asyncio.Task[None]) -> None:
        if self._closing.get(thread_id) is closing:
            del self._closing[thread_id]


def _has_failed(opening: asyncio.Task[EngineSession]) -> bool:
    """Return whether an opening that is done has no session."""
    return opening.cancelled() or opening.exception() is not None
