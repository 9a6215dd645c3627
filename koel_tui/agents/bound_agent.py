"""The agent of one thread: an agent with a choice of models, and the choice of that thread."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Protocol

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.protocol.turn_settings import TurnSettings


class ChoosingAgent(Protocol):
    """An agent that answers with the model and the adapter a run asks for.

    It keeps nothing of an `ephemeral` run.
    """

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - the name of AG-UI
        settings: TurnSettings | None = None,
        *,
        model: str | None = None,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run."""
        ...

    async def release(self, thread_id: str) -> None:
        """Free the context kept for a thread."""
        ...


@dataclass(frozen=True, slots=True)
class BoundAgent:
    """Runs of `owner` with one model and one adapter; None is the program's own, and no adapter.

    Two of them are equal when they run the same. `owner` keeps nothing of the runs when
    `is_ephemeral`.
    """

    owner: ChoosingAgent
    model: str | None = None
    lora: str | None = None
    is_ephemeral: bool = False

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - the name of AG-UI
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run; closing the iterator stops it. Errors are events."""
        return self.owner.run(
            input, settings, model=self.model, lora=self.lora, ephemeral=self.is_ephemeral
        )

    def ephemeral(self) -> "BoundAgent":
        """Return the same agent for runs of which nothing is kept."""
        return replace(self, is_ephemeral=True)

    async def release(self, thread_id: str) -> None:
        """Free the context kept for a thread."""
        await self.owner.release(thread_id)
