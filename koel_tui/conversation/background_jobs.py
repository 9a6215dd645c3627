"""A queue of background jobs for the model. One job runs at a time, only while no chat runs."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend

_CLOSE_TIMEOUT = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A background job for the model. `status_text` is its status line text."""

    status_text: str
    work: "Callable[[Backend], Awaitable[None]]"


class BackgroundJobs:
    """A job queue that runs while no chat waits for an answer; a chat preempts the running job."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called when `status_text` changes."""
        self._on_change = on_change
        self._backend: Backend | None = None
        self._queue: deque[Job] = deque()
        self._running: Job | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_chat_busy = False

    @property
    def status_text(self) -> str:
        """The status line text of the running job; empty if none is running."""
        return "" if self._running is None else self._running.status_text

    def connect(self, backend: "Backend") -> None:
        """Set the backend, whose model must be loaded, and start the first job."""
        self._backend = backend
        self._start_next()

    def add(self, job: Job) -> None:
        """Queue a job; it starts as soon as the model is idle."""
        self._queue.append(job)
        self._start_next()

    def pause_while_busy(self, is_chat_busy: bool) -> None:
        """Set whether a chat is generating. While it is, the running job is cancelled and requeued.

        Repeated calls with the same value are allowed.
        """
        self._is_chat_busy = is_chat_busy
        if is_chat_busy:
            self._cancel()
        self._start_next()

    async def close(self) -> None:
        """Cancel the running job and clear the queue."""
        self._queue.clear()
        self._backend = None
        if (task := self._task) is not None:
            self._cancel()
            await asyncio.wait([task], timeout=_CLOSE_TIMEOUT)  # a slow model must not delay saving

    def _cancel(self) -> None:
        # Cancel only once: a second cancellation would interrupt the job's own cleanup.
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    def _start_next(self) -> None:
        if self._backend is None or self._is_chat_busy or self._task is not None or not self._queue:
            return
        self._running = self._queue.popleft()
        self._task = asyncio.create_task(self._run(self._running, self._backend))
        self._on_change()

    async def _run(self, job: Job, backend: "Backend") -> None:
        try:
            await job.work(backend)
        except asyncio.CancelledError:
            if self._backend is not None:
                self._queue.appendleft(job)
        except Exception as error:  # no caller awaits the job
            _log.warning("Not done in the background: %s: %r", job.status_text, error)
        self._running = self._task = None
        self._on_change()
        self._start_next()
