"""An agent that answers everything with the same text, at a given pace."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import islice

from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
    RunFinishedEvent,
    RunStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
)

from koel_tui.agents import ModelInfo
from koel_tui.protocol import TurnSettings
from tests.benchmarks.ui.answers import tokens


class PacedAgent:
    """Implements ModelAgent. Tokens are due at fixed times, even if the window reads late."""

    def __init__(self, tokens_per_s: float, count: int | None = None) -> None:
        """Create an agent whose answers have `count` tokens; None makes them endless."""
        self._gap = 1 / tokens_per_s
        self._count = count

    async def run(
        self,
        input: RunAgentInput,  # noqa: A002 - as in Agent
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        loop = asyncio.get_running_loop()
        answer = f"answer-{input.run_id}"
        yield RunStartedEvent(thread_id=input.thread_id, run_id=input.run_id)
        yield TextMessageStartEvent(message_id=answer, role="assistant")
        due = loop.time()
        for token in islice(tokens(), self._count):
            due += self._gap
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            yield TextMessageContentEvent(message_id=answer, delta=token)
        yield TextMessageEndEvent(message_id=answer)
        yield RunFinishedEvent(thread_id=input.thread_id, run_id=input.run_id)

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        return ModelInfo("Paced-1B", 8192)

    async def release(self, thread_id: str) -> None:
        pass

    async def close(self) -> None:
        pass
