"""One active run: the task that reads its events, and how it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable

from koel_tui.agents import Agent
from koel_tui.protocol import Event, KoelError, ProtocolError, classify
from koel_tui.protocol.events.streams import closing

_log = logging.getLogger(__name__)

CANCEL_TIMEOUT = 0.05
"""Seconds that a cancelled agent may take to stop before a warning is logged."""

STOP_TIMEOUT = 1.0
"""Seconds to wait for a cancelled run to stop, before cancelling again or continuing."""

SAVE_TIMEOUT = 0.5
"""Seconds that `send` waits for the save at the end of its run."""

RELEASE_TIMEOUT = 5.0
"""Deadline in seconds for an agent to free its data of a thread."""


class Run:
    """One active run.

    `on_event` is called with each event and returns True for the last one, `on_failure` with the
    error if there is no last event, and `on_end` once at the end. A run is *over* when it ended or
    was abandoned; then it calls nothing more. Its task may last longer, until the agent has
    stopped.
    """

    def __init__(
        self,
        *,
        on_event: Callable[[Event], bool],
        on_failure: Callable[[KoelError], None],
        on_end: Callable[[], None],
    ) -> None:
        self._on_event = on_event
        self._on_failure = on_failure
        self._on_end = on_end
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(
        self,
        open_events: Callable[[], AsyncIterator[Event]],
        after: Iterable[asyncio.Future[None]] = (),
    ) -> asyncio.Task[None]:
        """Start reading the events and return the task that reads them.

        `after` are the tasks of earlier runs of the thread, because an agent answers one at a time.
        """
        self._task = asyncio.create_task(self._run(open_events, tuple(after)))
        return self._task

    def abandon(self) -> None:
        """End the run at once and cancel the agent, without waiting for it."""
        self._over.set()
        if self._task is None or self._task.done():
            return
        self._task.cancel()
        timer = asyncio.get_running_loop().call_later(CANCEL_TIMEOUT, self._warn)
        self._task.add_done_callback(lambda _: timer.cancel())

    async def wait_over(self) -> None:
        """Wait until the run is over."""
        await self._over.wait()

    async def _run(
        self,
        open_events: Callable[[], AsyncIterator[Event]],
        after: tuple[asyncio.Future[None], ...],
    ) -> None:
        try:
            if after:
                await asyncio.wait(after, timeout=2 * STOP_TIMEOUT)
            await self._read_events(open_events())
        except asyncio.CancelledError as error:
            self._fail(_interruption("The run was stopped before its answer was complete", error))
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        except Exception as error:  # any exception of an agent is a failed run
            self._fail(classify(error))

    async def _read_events(self, events: AsyncIterator[Event]) -> None:
        async with closing(events):
            async for event in events:
                if self._over.is_set():
                    return
                if self._on_event(event):
                    self._end()
                    return
                # Yield to the event loop, because an agent that never waits would block all input.
                await asyncio.sleep(0)
            self._fail(_interruption("The agent stopped before its answer was complete"))

    def _fail(self, error: KoelError) -> None:
        if self._over.is_set():
            if not isinstance(error.cause, asyncio.CancelledError):
                _log.warning("A run failed after it was over: %r", error)
            return
        try:
            self._on_failure(error)
        finally:  # the run ends even if the callback raises
            self._end()

    def _end(self) -> None:
        self._over.set()
        self._on_end()

    def _warn(self) -> None:
        _log.warning(
            "The agent has not stopped %d ms after its run was cancelled; continuing without it",
            CANCEL_TIMEOUT * 1000,
        )


async def wait_finished(tasks: Iterable[asyncio.Future[None]]) -> None:
    """Wait for the tasks of runs that are over; a task that does not end is cancelled again."""
    waiting = set(tasks)
    for last in (False, True):
        if not waiting:
            return
        _, waiting = await asyncio.wait(waiting, timeout=STOP_TIMEOUT)
        for task in waiting:
            if last:
                _log.error("A cancelled run never ended: %r", task)
            else:
                task.cancel()


async def release_thread(agent: Agent, thread_id: str) -> None:
    """Let the agent free its data of a thread, if it supports that; never raises."""
    free = getattr(agent, "release", None)
    if free is None:
        return
    try:
        async with asyncio.timeout(RELEASE_TIMEOUT):
            await free(thread_id)
    except Exception as error:  # the thread is saved; only the agent's memory stays in use
        _log.warning("The agent did not release thread %r: %r", thread_id, error)


def _interruption(what: str, cause: BaseException | None = None) -> ProtocolError:
    return ProtocolError(
        f"{what}. The partial answer is kept. Send again to continue.", "closed", cause=cause
    )
