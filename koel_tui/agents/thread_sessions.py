"""The engine sessions of an agent's threads, at most one per thread."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from koel_tui.agents.snapshots import Snapshots
from koel_tui.engine import EngineSession, SessionClosedError

Opener = Callable[[Path | None], Awaitable[EngineSession]]
"""Opens an engine session, from the snapshot at the path if there is one."""

SAVE_TIMEOUT = 5.0
"""Deadline in seconds for closing all sessions; later snapshots are abandoned."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """The session of a thread, which may still be opening, and the options it was opened with."""

    opened_with: object
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
        return not self.opening.done() or (self.session is not None and not self.session.closed)


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

    async def get(self, thread_id: str, opened_with: object, opener: Opener) -> EngineSession:
        """Return the session of a thread, a new one if `opened_with` has changed.

        Raises what `opener` raises, and `SessionClosedError` if the thread is released first.
        """
        while True:
            entry = self._entries.get(thread_id)
            if entry is None:
                entry = self._open(thread_id, opened_with, opener)
            elif entry.opened_with != opened_with or not entry.is_usable:
                await self.release(thread_id)
                continue
            await asyncio.wait([entry.opening])  # cancelling this does not cancel the opening
            if entry.opening.cancelled():
                raise SessionClosedError
            return entry.opening.result()

    async def release(self, thread_id: str) -> None:
        """Save and close the session of a thread or cancel its opening, if there is one.

        The closing continues if the caller is cancelled.
        """
        entry = self._entries.pop(thread_id, None)
        previous = self._closing.get(thread_id)
        if entry is not None:
            entry.opening.cancel()
            closing = asyncio.create_task(
                self._close(thread_id, entry.opening, previous), name="engine session close"
            )
            self._closing[thread_id] = closing
            closing.add_done_callback(lambda task: self._forget(thread_id, task))
        if (last := self._closing.get(thread_id)) is not None:
            await asyncio.wait([last])

    async def close(self) -> None:
        """Save and close all sessions except those with an active turn, which are dropped."""
        for thread_id, entry in tuple(self._entries.items()):
            if entry.session is not None and entry.session.generating:
                del self._entries[thread_id]
        releases = [asyncio.create_task(self.release(each)) for each in tuple(self._entries)]
        waiting = {*releases, *self._closing.values()}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=SAVE_TIMEOUT)
            for task in late:
                task.cancel()

    def _open(self, thread_id: str, opened_with: object, opener: Opener) -> _Entry:
        async def work() -> EngineSession:
            if (closing := self._closing.get(thread_id)) is not None:
                await asyncio.wait([closing])  # it writes the snapshot that is loaded below
            snapshots = self._snapshots
            return await opener(None if snapshots is None else snapshots.find(thread_id))

        def on_opened(task: asyncio.Task[EngineSession]) -> None:
            if _has_failed(task) and self._entries.get(thread_id) is entry:
                del self._entries[thread_id]

        entry = _Entry(opened_with, asyncio.create_task(work(), name="engine session open"))
        entry.opening.add_done_callback(on_opened)
        self._entries[thread_id] = entry
        return entry

    async def _close(
        self,
        thread_id: str,
        opening: asyncio.Task[EngineSession],
        previous: asyncio.Task[None] | None,
    ) -> None:
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


def _has_failed(task: asyncio.Task[EngineSession]) -> bool:
    return task.cancelled() or task.exception() is not None
