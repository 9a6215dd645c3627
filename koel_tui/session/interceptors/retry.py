"""Retries of runs after connection failures."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable

from ag_ui.core import (
    CustomEvent,
    RawEvent,
    RunAgentInput,
    RunErrorEvent,
    RunStartedEvent,
    StepFinishedEvent,
    StepStartedEvent,
)

from koel_tui.protocol import Event, KoelError, TransportError, TurnSettings, classify
from koel_tui.protocol.events.event_types import run_error
from koel_tui.protocol.events.streams import closing
from koel_tui.session.interceptors.chain import Next

RESUMED = "koel.connection_resumed"
"""CUSTOM event: a run continues after a connection failure. value: `{"attempt": int}`, from 1."""


class Retry:
    """Retries a run if the connection failed before the agent sent any content.

    Content is text, reasoning, calls, results, messages, activities and state. Progress (CUSTOM and
    RAW events, steps) is not content; steps that a failed attempt left open are ended.

    Only a `TransportError` is retried, up to `retries` times, after `base_s` seconds, doubled each
    time up to `most_s`. Each wait varies by up to `jitter` (a fraction), so that clients that lost
    a server at the same time do not reconnect at the same time. A run that fails after its first
    content is not retried, so no content is sent twice. Cancelling the run ends the wait.
    """

    def __init__(
        self,
        *,
        retries: int = 5,
        base_s: float = 1.0,
        most_s: float = 30.0,
        jitter: float = 0.2,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._retries = retries
        self._base_s = base_s
        self._most_s = most_s
        self._jitter = jitter
        self._sleep = sleep
        self._chance = chance

    async def __call__(
        self, run: RunAgentInput, settings: TurnSettings | None, following: Next
    ) -> AsyncIterator[Event]:
        """Return the events of the first successful attempt, or the last failure."""
        started = False
        for attempt in itertools.count():
            has_content = False
            steps: list[str] = []
            try:
                events = following(run, settings)
                async with closing(events):
                    async for event in events:
                        if isinstance(event, RunStartedEvent):
                            if not started:
                                started = True
                                yield event
                            if attempt:
                                yield CustomEvent(name=RESUMED, value={"attempt": attempt})
                            continue
                        if isinstance(event, RunErrorEvent) and not has_content:
                            _raise_if_transport(run_error(event))
                        has_content = has_content or not _is_progress(event)
                        if isinstance(event, StepStartedEvent):
                            steps.append(event.step_name)
                        elif isinstance(event, StepFinishedEvent):
                            steps.remove(event.step_name)
                        yield event
                return
            except Exception as error:
                failure = classify(error)
                if (
                    has_content
                    or attempt == self._retries
                    or not isinstance(failure, TransportError)
                ):
                    raise
            for step in steps:
                yield StepFinishedEvent(step_name=step)
            await self._sleep(self._delay(attempt))

    def _delay(self, attempt: int) -> float:
        wait = min(self._base_s * 2.0**attempt, self._most_s)
        return float(wait * (1 + self._jitter * (2 * self._chance() - 1)))


def _is_progress(event: Event) -> bool:
    return isinstance(event, CustomEvent | RawEvent | StepStartedEvent | StepFinishedEvent)


def _raise_if_transport(error: KoelError) -> None:
    if isinstance(error, TransportError):
        raise error
