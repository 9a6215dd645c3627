"""Saves of KV snapshots that wait until they delay no turn."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from koel_tui.engine.errors import EngineError
from koel_tui.engine.wire_messages import Command, Event


@dataclass(frozen=True, slots=True, eq=False)
class _Save:
    session: int
    make: Callable[[int], Command]
    answer: asyncio.Future[Event]


class PostponedSaves:
    """Sends saves to the worker when no turn is generated or queued.

    The worker copies a context on the thread that generates. `flush` sends them before that, when
    their session or the engine closes.
    """

    def __init__(
        self,
        is_idle: Callable[[], bool],
        request: Callable[[Callable[[int], Command]], asyncio.Future[Event]],
    ) -> None:
        """`request` sends a command to the worker and returns the future of its answer."""
        self._is_idle = is_idle
        self._request = request
        self._waiting: list[_Save] = []

    def add(self, session: int, make: Callable[[int], Command]) -> asyncio.Future[Event]:
        """Send a save of `session` now or later; return the future of its answer."""
        save = _Save(session, make, asyncio.get_running_loop().create_future())
        self._waiting.append(save)
        if self._is_idle():
            self.flush()
        return save.answer

    def flush(self, session: int | None = None) -> None:
        """Send the saves of a session, or of all, now."""
        for save in self._take(session):
            try:
                answer = self._request(save.make)
            except EngineError as error:
                save.answer.set_exception(error)
            else:
                answer.add_done_callback(partial(_pass_on, save.answer))

    def fail(self, error: EngineError) -> None:
        """Fail all saves that were not sent."""
        for save in self._take(None):
            save.answer.set_exception(error)

    def _take(self, session: int | None) -> list[_Save]:
        taken = [save for save in self._waiting if session in (None, save.session)]
        self._waiting = [save for save in self._waiting if save not in taken]
        return [save for save in taken if not save.answer.done()]  # its caller may have left


def _pass_on(answer: asyncio.Future[Event], done: asyncio.Future[Event]) -> None:
    error = None if done.cancelled() else done.exception()
    if answer.done():  # its caller has left
        return
    if done.cancelled():
        answer.cancel()
    elif error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())
