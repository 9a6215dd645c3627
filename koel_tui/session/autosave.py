"""Saving of one thread: one write at a time, the newest state wins, an error stays visible."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from koel_tui.protocol import ChatState
from koel_tui.session.settings import ThreadSettings
from koel_tui.session.succession import HandoverEffect, handover_effect
from koel_tui.storage import Access, ProgressStorage, SessionStorage

_log = logging.getLogger(__name__)

RETRY_S = 3.0
"""Seconds until a failed save is retried, even if nothing changes."""


class Autosave:
    """Saves the states of one thread.

    Writes and deletes run one after another, in the order of the calls. A failed write leaves the
    thread dirty and sets `error`; it is retried at the next save point, or after `RETRY_S` seconds
    if there is none.
    """

    def __init__(
        self,
        thread_id: str,
        storage: SessionStorage | None,
        current: Callable[[], ChatState],
        *,
        interval: float,
        after: asyncio.Future[None] | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called when `dirty`, `error` or `access` may have changed after a job."""
        self._thread_id = thread_id
        self._storage = storage
        self._current = current
        self._interval = interval
        self._last_job = after
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None
        self._written_at = float("-inf")
        self._revision = self._saved = 0
        self._is_released = False  # if True, each write locks and unlocks the thread
        self._model = ""
        self.superseded = False
        """True if a newer session owns the thread's file; this state goes to a conflict file."""
        self.replaced = False
        """True if a newer session owns the thread, or the thread was deleted."""
        self.error: Exception | None = None
        self.access: Access | None = None
        """True if the thread may be written; None before it is opened."""

    @property
    def dirty(self) -> bool:
        """True if the newest state is not stored yet; always False without a storage."""
        return self._storage is not None and self._revision != self._saved

    def mark_changed(self) -> None:
        """Mark the current state as changed."""
        self._revision += 1

    def save_soon(self) -> None:
        """Save as soon as `interval` seconds have passed since the last write."""
        if self.dirty:
            self._save_at(self._written_at + self._interval)

    def save_now(self) -> asyncio.Future[None]:
        """Save after the pending writes; the returned future never holds an error."""
        self._cancel_timer()
        return self._enqueue(self._try_write)

    async def open(self) -> None:
        """Lock the thread for writing. Raises what the storage raises; no-op without a storage."""
        await asyncio.shield(self._enqueue(self._lock))

    async def release(self) -> None:
        """Unlock the thread after the pending writes.

        A state that is not saved by then is retried; each retry locks the thread only for its
        write.
        """
        self._is_released = True
        await asyncio.shield(self._enqueue(self._unlock))

    def hand_over(self, newer: ChatState, *, loaded: bool) -> bool:
        """Hand the thread over to a newer session, which starts with `newer`.

        `loaded` means that `newer` may be the stored state. If the newer session would overwrite
        the newest state here, that state goes to a conflict file. Return whether `newer` is the
        newest state here and is not stored: then the newer session must save it.
        """
        dirty = self.dirty
        if self.replaced and not dirty:
            return False
        effect = handover_effect(self._current(), newer, dirty=dirty or not loaded)
        if self.superseded and effect is not HandoverEffect.SAME:
            return False  # the conflict file already has it
        if effect is HandoverEffect.LOST:
            self.replaced = self.superseded = True
            self._revision += 1
            self.save_now()
        else:
            self.stop_saving()
        return effect is HandoverEffect.SAME and dirty

    def stop_saving(self) -> None:
        """Stop saving, because the thread was taken over or deleted."""
        self.replaced = True
        self._saved = self._revision
        self._cancel_timer()
        self._on_change()

    async def wait_saved(self, timeout_s: float | None = None) -> None:
        """Wait until the writes queued so far are done, at most `timeout_s` seconds."""
        if self._last_job is not None:
            await asyncio.wait([self._last_job], timeout=timeout_s)

    async def persist(self) -> None:
        """Save even without a change. Raises what the storage raises; no-op without a storage."""
        if self._storage is not None:
            self._cancel_timer()
            await asyncio.shield(self._enqueue(self._write))

    async def delete(self) -> None:
        """Delete the stored thread, and do not save the current state again.

        Raises what the storage raises; no-op without a storage.
        """
        revision = self._revision
        if self._storage is not None:
            await asyncio.shield(self._enqueue(lambda: self._delete(revision)))

    async def update_metadata(self, fields: Mapping[str, Any]) -> None:
        """Set metadata of the thread. Raises what the storage raises."""
        await asyncio.shield(self._enqueue(lambda: self._update_metadata(fields)))

    async def settings(self) -> dict[str, Any]:
        """Return the settings saved with the thread. Raises what the storage raises."""
        metadata = {} if self._storage is None else await self._storage.meta(self._thread_id)
        return {key: metadata[key] for key in ThreadSettings().meta if key in metadata}

    def save_model(self, model: str) -> None:
        """Save the name of the model that answered last, if it changed; '' is ignored."""
        if model and model != self._model:
            self._model = model
            self.try_update_metadata({"model": model})

    def try_update_metadata(self, fields: Mapping[str, Any]) -> None:
        """Set metadata of the thread; a failure is only logged."""
        self._enqueue(lambda: self._try_update_metadata(fields))

    def _enqueue(self, job: Callable[[], Awaitable[None]]) -> asyncio.Future[None]:
        self._last_job = asyncio.create_task(self._run_after(self._last_job, job))
        return self._last_job

    async def _run_after(
        self, previous: asyncio.Future[None] | None, job: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            if previous is not None:
                await asyncio.wait([previous])
            await job()
        finally:
            self._save_later()
            self._on_change()

    def _save_later(self) -> None:
        """Schedule the save of a state that is not stored; after an error, wait `RETRY_S`."""
        if self.error is None:
            self.save_soon()
        elif self.dirty:
            self._save_at(asyncio.get_running_loop().time() + max(RETRY_S, self._interval))

    def _save_at(self, moment: float) -> None:
        """Schedule a save at `moment` of the loop's clock, unless an earlier one is scheduled."""
        loop = asyncio.get_running_loop()
        moment = max(moment, loop.time())
        if self._timer is None or self._timer.when() > moment:
            self._cancel_timer()
            self._timer = loop.call_at(moment, self._on_timer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        if self._last_job is None or self._last_job.done():
            self.save_now()  # otherwise the running job sets the timer when it ends

    async def _try_write(self) -> None:
        if not self.dirty:
            return
        last_error = str(self.error)
        try:
            await self._write()
        except Exception as error:  # the run continues; `error` and `dirty` inform the user
            if str(error) != last_error:  # otherwise every retry would be logged
                _log.warning("Thread %r was not saved: %s", self._thread_id, error)
        if self._is_released:
            await self._unlock()

    async def _write(self) -> None:
        if self._storage is None:
            return
        try:
            if not self.superseded:
                await self._lock()
            superseded = self.superseded  # it may have become True during `_lock`
            revision, state = self._revision, self._current()
            self._written_at = asyncio.get_running_loop().time()
            if superseded:
                await self._storage.save_conflict(self._thread_id, state)
            elif state.phase.is_running:
                await self._save_progress(self._storage, state)
            else:
                await self._storage.save(self._thread_id, state)
        except Exception as error:
            self.error = error
            raise
        self._saved = revision
        self.error = None

    async def _save_progress(self, storage: SessionStorage, state: ChatState) -> None:
        """Save the state of an active run, at a cost that follows the change if the storage can."""
        save = storage.save_progress if isinstance(storage, ProgressStorage) else storage.save
        await save(self._thread_id, state)

    async def _lock(self) -> None:
        if self._storage is not None and self.access is None:
            self.access = await self._storage.open(self._thread_id)

    async def _unlock(self) -> None:
        if self._storage is None or self.access is None:
            return
        self.access = None
        try:
            await self._storage.close(self._thread_id)
        except Exception as error:  # the system frees the lock when the process exits
            _log.warning("Thread %r was not unlocked: %r", self._thread_id, error)

    async def _update_metadata(self, fields: Mapping[str, Any]) -> None:
        if self._storage is not None:
            await self._storage.update_meta(self._thread_id, **fields)

    async def _try_update_metadata(self, fields: Mapping[str, Any]) -> None:
        try:
            await self._update_metadata(fields)
        except Exception as error:
            _log.warning("Thread %r: %s was not saved: %s", self._thread_id, list(fields), error)

    async def _delete(self, revision: int) -> None:
        if self._storage is not None:
            await self._storage.delete(self._thread_id)
            self._saved = revision
            self.error = None
