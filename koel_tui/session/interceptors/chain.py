"""The chain: an agent's events written out and checked, then each interceptor around the next."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Protocol

from ag_ui.core import RunAgentInput

from koel_tui.agents import Agent
from koel_tui.protocol import Event, TurnSettings, expand_chunks, verify

Next = Callable[[RunAgentInput, TurnSettings | None], AsyncIterator[Event]]
"""What an interceptor stands in front of: the next one, or the agent."""


class Interceptor(Protocol):
    """Sees the input and the settings of a run on their way in, the events on their way out."""

    def __call__(
        self, run: RunAgentInput, settings: TurnSettings | None, following: Next
    ) -> AsyncIterator[Event]:
        """Return the events of `run`; what it does not ask `following` for never happens.

        An exception ends the run as its error. Close the iterator of `following` on every way
        out; `koel_tui.protocol.streams.closing` does.
        """
        ...


def pipeline(agent: Agent, interceptors: Sequence[Interceptor]) -> Next:
    """Return what runs `agent` behind `interceptors`, the first of which is asked first."""

    def checked(run: RunAgentInput, settings: TurnSettings | None = None) -> AsyncIterator[Event]:
        return verify(expand_chunks(agent.run(run, settings)))

    following: Next = checked
    for interceptor in reversed(interceptors):
        following = partial(interceptor, following=following)
    return following
