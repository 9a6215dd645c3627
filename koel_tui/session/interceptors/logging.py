"""Logging of runs, without the text of the conversation."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from time import monotonic

from ag_ui.core import BaseEvent, RunAgentInput, RunErrorEvent

from koel_tui.protocol import Event, TurnSettings
from koel_tui.protocol.events.event_types import run_error
from koel_tui.protocol.events.streams import closing
from koel_tui.session.interceptors.chain import Next


class LogRuns:
    """Logs the start and the end of each run (INFO), each event's type (DEBUG), errors (WARNING).

    Logs ids, types, counts and seconds, but no text of any message, call or error.
    """

    def __init__(
        self, logger: logging.Logger | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._log = logger or logging.getLogger(__name__)
        self._clock = clock

    async def __call__(
        self, run: RunAgentInput, settings: TurnSettings | None, following: Next
    ) -> AsyncIterator[Event]:
        """Return the events of `following` unchanged."""
        name, begin = f"run {run.run_id} of thread {run.thread_id}", self._clock()
        counts: Counter[str] = Counter()
        self._log.info("%s starts with %d messages", name, len(run.messages))
        events = following(run, settings)
        try:
            async with closing(events):
                async for event in events:
                    kind = event.type.value if isinstance(event, BaseEvent) else event.type
                    counts[kind] += 1
                    self._log.debug("%s: %s", name, kind)
                    if isinstance(event, RunErrorEvent):
                        error = run_error(event)
                        self._log.warning("%s failed: %s.%s", name, error.family, error.code)
                    yield event
        except Exception as error:
            self._log.warning("%s failed: %s", name, type(error).__name__)
            raise
        finally:
            seconds = self._clock() - begin
            self._log.info("%s is over after %.3f s: %s", name, seconds, dict(counts))
