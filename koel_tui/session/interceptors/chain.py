"""The chain: an agent's events written out and checked, then each interceptor around the next."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Protocol

from ag_ui.core import RunAgentInput

from koel_tui.agents import Agent
from koel_tui.protocol import Event, TurnSettings, expand_chunks, verify

Next = Callable[[RunAgentInput, TurnSettings | None], AsyncIterator[Event]]
"""What an interceptor stands in front of: the next one, or the agent."""

Extend = Callable[[AsyncIterator[Event]], AsyncIterator[Event]]
"""Adds events to those of a run."""


class Interceptor(Protocol):
    """Sees the input and the settings of a run on their way in, the events on their way out."""

    def __call__(
        self, run: RunAgentInput, settings: TurnSettings | None, following: Next
    ) -> AsyncIterator[Event]:
        """Return the events of `run`; what it does not ask `following` for never happens.

        An exception ends the run as its error. Close the iterator of `following` on every way
        out; `koel_tui.protocol.events.streams.closing` does.
        """
        ...


class Ask(Protocol):
    """Runs an agent behind interceptors."""

    def __call__(
        self,
        run: RunAgentInput,
        settings: TurnSettings | None = None,
        extend: Extend | None = None,
    ) -> AsyncIterator[Event]:
        """Return the events of `run`; `extend` adds events to the agent's, before interceptors."""
        ...


def pipeline(agent: Agent, interceptors: Sequence[Interceptor]) -> Ask:
    """Return what runs `agent` behind `interceptors`, the first of which is asked first."""

    def ask(
        run: RunAgentInput, settings: TurnSettings | None = None, extend: Extend | None = None
    ) -> AsyncIterator[Event]:
        def checked(run: RunAgentInput, settings: TurnSettings | None) -> AsyncIterator[Event]:
            events: AsyncIterator[Event] = verify(expand_chunks(agent.run(run, settings)))
            return events if extend is None else extend(events)

        following: Next = checked
        for interceptor in reversed(interceptors):
            following = partial(interceptor, following=following)
        return following(run, settings)

    return ask
