"""The agent of one thread: an agent with a choice of models, and the choice of that thread."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.protocol.turn_settings import TurnSettings


class ChoosingAgent(Protocol):
    """An agent that answers with the model and the adapter a run asks for."""

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - the name of AG-UI
        settings: TurnSettings | None = None,
        *,
        model: str | None = None,
        lora: str | None = None,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run."""
        ...

    async def release(self, thread_id: str) -> None:
        """Free the context kept for a thread."""
        ...


@dataclass(frozen=True, slots=True)
class BoundAgent:
    """Runs of `owner` with one model and one adapter; None is the program's own, and no adapter.

    Two of them are equal when they run the same.
    """

    owner: ChoosingAgent
    model: str | None = None
    lora: str | None = None

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - the name of AG-UI
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run; closing the iterator stops it. Errors are events."""
        return self.owner.run(input, settings, model=self.model, lora=self.lora)

    async def release(self, thread_id: str) -> None:
        """Free the context kept for a thread."""
        await self.owner.release(thread_id)
