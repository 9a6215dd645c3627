"""Small jobs of the model beside the chats: one at a time, and only while nothing else runs."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend

_PATIENCE = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something the model is to do; `words` say it in the status line."""

    words: str
    work: "Callable[[Backend], Awaitable[None]]"


class BackgroundJobs:
    """Does jobs when nobody waits for an answer, and gives way at once when somebody does."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """Make it; `changed` is called when `words` are others."""
        self._changed = changed
        self._backend: Backend | None = None
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._task: asyncio.Task[None] | None = None
        self._busy = False

    @property
    def words(self) -> str:
        """What is being done; empty when nothing is."""
        return "" if self._running is None else self._running.words

    def connect(self, backend: "Backend") -> None:
        """Take the backend, whose model is loaded by now."""
        self._backend = backend
        self._begin()

    def add(self, job: Job) -> None:
        """Do a job as soon as nothing else runs."""
        self._waiting.append(job)
        self._begin()

    def give_way(self, busy: bool) -> None:
        """Take note whether somebody waits for an answer: then what runs here begins again later.

        May be called as often as one likes.
        """
        self._busy = busy
        if busy:
            self._cancel()
        self._begin()

    async def close(self) -> None:
        """End what runs, and forget what waits."""
        self._waiting.clear()
        self._backend = None
        if (task := self._task) is not None:
            self._cancel()
            await asyncio.wait([task], timeout=_PATIENCE)  # saving must not wait for a model

    def _cancel(self) -> None:
        # Once: a second time would end what the job does to end well.
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    def _begin(self) -> None:
        if self._backend is None or self._busy or self._task is not None or not self._waiting:
            return
        self._running = self._waiting.popleft()
        self._task = asyncio.create_task(self._run(self._running, self._backend))
        self._changed()

    async def _run(self, job: Job, backend: "Backend") -> None:
        try:
            await job.work(backend)
        except asyncio.CancelledError:
            if self._backend is not None:
                self._waiting.appendleft(job)
        except Exception as error:  # nobody waits for it
            _log.warning("Not done in the background: %s: %r", job.words, error)
        self._running = self._task = None
        self._changed()
        self._begin()
