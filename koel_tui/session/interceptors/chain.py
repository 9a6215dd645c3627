"""The pipeline of a run: the agent, chunk expansion, the order check, and the interceptors."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Protocol

from ag_ui.core import RunAgentInput

from koel_tui.agents import Agent
from koel_tui.protocol import Event, TurnSettings, expand_chunks, verify

Next = Callable[[RunAgentInput, TurnSettings | None], AsyncIterator[Event]]
"""The rest of the pipeline: the next interceptor, or the agent."""

Extend = Callable[[AsyncIterator[Event]], AsyncIterator[Event]]
"""Adds events to those of a run."""


class Interceptor(Protocol):
    """Processes the input and settings of a run before the agent, and the events after it."""

    def __call__(
        self, run: RunAgentInput, settings: TurnSettings | None, following: Next
    ) -> AsyncIterator[Event]:
        """Return the events of `run`; without a call of `following`, the agent does not run.

        An exception ends the run with that error. Close the iterator of `following` on every exit,
        for instance with `koel_tui.protocol.events.streams.closing`. The messages of earlier turns
        are shared by the runs of a thread: replace a message, do not change it.
        """
        ...


class Ask(Protocol):
    """Runs an agent through its interceptors."""

    def __call__(
        self,
        run: RunAgentInput,
        settings: TurnSettings | None = None,
        extend: Extend | None = None,
    ) -> AsyncIterator[Event]:
        """Return the events of `run`; `extend` adds events to the agent's, before interceptors."""
        ...


def pipeline(agent: Agent, interceptors: Sequence[Interceptor]) -> Ask:
    """Return a function that runs `agent` with `interceptors`, the first one outermost."""

    def ask(
        run: RunAgentInput, settings: TurnSettings | None = None, extend: Extend | None = None
    ) -> AsyncIterator[Event]:
        def run_checked(run: RunAgentInput, settings: TurnSettings | None) -> AsyncIterator[Event]:
            events: AsyncIterator[Event] = verify(expand_chunks(agent.run(run, settings)))
            return events if extend is None else extend(events)

        following: Next = run_checked
        for interceptor in reversed(interceptors):
            following = partial(interceptor, following=following)
        return following(run, settings)

    return ask
