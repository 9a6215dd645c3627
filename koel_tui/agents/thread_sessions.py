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
class _Held:
    """The session of a thread, which may still be opening, and the options it was opened with."""

    opened_with: object
    opening: asyncio.Task[EngineSession]

    @property
    def session(self) -> EngineSession | None:
        """The open session, None while it is opening or if the opening failed."""
        if not self.opening.done() or _failed(self.opening):
            return None
        return self.opening.result()

    @property
    def usable(self) -> bool:
        """Whether a run may use the session or wait for it."""
        return not self.opening.done() or (self.session is not None and not self.session.closed)


class ThreadSessions:
    """Keeps at most one engine session per thread.

    Opening and closing run in separate tasks, so a cancelled caller leaves neither an untracked
    session nor a half-closed one. With `snapshots`, a released thread is saved and opened again
    from its snapshot.
    """

    def __init__(self, snapshots: Snapshots | None) -> None:
        self._snapshots = snapshots
        self._held: dict[str, _Held] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}

    async def get(self, thread_id: str, opened_with: object, opener: Opener) -> EngineSession:
        """Return the session of a thread, a new one if `opened_with` has changed.

        Raises what `opener` raises, and `SessionClosedError` if the thread is released first.
        """
        while True:
            held = self._held.get(thread_id)
            if held is None:
                held = self._open(thread_id, opened_with, opener)
            elif held.opened_with != opened_with or not held.usable:
                await self.release(thread_id)
                continue
            await asyncio.wait([held.opening])  # cancelling this does not cancel the opening
            if held.opening.cancelled():
                raise SessionClosedError
            return held.opening.result()

    async def release(self, thread_id: str) -> None:
        """Save and close the session of a thread or cancel its opening, if there is one.

        The closing continues if the caller is cancelled.
        """
        held = self._held.pop(thread_id, None)
        before = self._closing.get(thread_id)
        if held is not None:
            held.opening.cancel()
            closing = asyncio.create_task(
                self._close(thread_id, held.opening, before), name="engine session close"
            )
            self._closing[thread_id] = closing
            closing.add_done_callback(lambda task: self._forget(thread_id, task))
        if (last := self._closing.get(thread_id)) is not None:
            await asyncio.wait([last])

    async def close(self) -> None:
        """Save and close all sessions except those with an active turn, which are dropped."""
        for thread_id, held in tuple(self._held.items()):
            if held.session is not None and held.session.generating:
                del self._held[thread_id]
        releases = [asyncio.create_task(self.release(each)) for each in tuple(self._held)]
        waiting = {*releases, *self._closing.values()}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=SAVE_TIMEOUT)
            for task in late:
                task.cancel()

    def _open(self, thread_id: str, opened_with: object, opener: Opener) -> _Held:
        async def work() -> EngineSession:
            if (closing := self._closing.get(thread_id)) is not None:
                await asyncio.wait([closing])  # it writes the snapshot that is loaded below
            snapshots = self._snapshots
            return await opener(None if snapshots is None else snapshots.find(thread_id))

        def ended(task: asyncio.Task[EngineSession]) -> None:
            if _failed(task) and self._held.get(thread_id) is held:
                del self._held[thread_id]

        held = _Held(opened_with, asyncio.create_task(work(), name="engine session open"))
        held.opening.add_done_callback(ended)
        self._held[thread_id] = held
        return held

    async def _close(
        self,
        thread_id: str,
        opening: asyncio.Task[EngineSession],
        before: asyncio.Task[None] | None,
    ) -> None:
        await asyncio.wait([opening, *([before] if before is not None else [])])
        if _failed(opening):
            return
        session = opening.result()
        if self._snapshots is None:
            await session.close()
        else:
            await self._snapshots.save_and_close(thread_id, session)

    def _forget(self, thread_id: str, closing: asyncio.Task[None]) -> None:
        if self._closing.get(thread_id) is closing:
            del self._closing[thread_id]


def _failed(task: asyncio.Task[EngineSession]) -> bool:
    return task.cancelled() or task.exception() is not None
