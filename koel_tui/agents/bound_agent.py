"""An agent bound to the model and the adapter of one thread."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Protocol

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.protocol.turn_settings import TurnSettings


class MultiModelAgent(Protocol):
    """An agent that selects a model and an adapter per run.

    It stores nothing of an `ephemeral` run.
    """

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - AG-UI names the run's input so
        settings: TurnSettings | None = None,
        *,
        model: str | None = None,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run."""
        ...

    async def release(self, thread_id: str) -> None:
        """Free the context of a thread."""
        ...


@dataclass(frozen=True, slots=True)
class BoundAgent:
    """An agent that runs `owner` with a fixed model and adapter.

    `model` None means the default model, `lora` None means no adapter. Two instances with equal
    fields are equal. If `is_ephemeral`, `owner` stores nothing of the runs.
    """

    owner: MultiModelAgent
    model: str | None = None
    lora: str | None = None
    is_ephemeral: bool = False

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - AG-UI names the run's input so
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run. Closing the iterator stops it; errors are events."""
        return self.owner.run(
            input, settings, model=self.model, lora=self.lora, ephemeral=self.is_ephemeral
        )

    def ephemeral(self) -> "BoundAgent":
        """Return this agent for ephemeral runs."""
        return replace(self, is_ephemeral=True)

    async def release(self, thread_id: str) -> None:
        """Free the context of a thread."""
        await self.owner.release(thread_id)
