"""Several models behind one agent: each thread is answered by the one it wants."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.agents.abilities import MemoryUse, memory_of, tokens_in
from koel_tui.agents.agent import ModelAgent, ModelInfo

MODEL = "model"
"""Key of a run's `forwardedProps`: the file or the name of the model that is to answer it."""

MOST_BESIDE = 1
"""Models kept loaded beside the program's own while nothing runs there: each takes its memory."""


class ModelRouter:
    """Hands each run to the agent of the model it names, and to the first one where it names none.

    Agents are made when they are needed. One too many is closed when nothing runs there, the one
    unused longest first; its threads are read again when they go on.
    """

    def __init__(self, make: Callable[[str | None], ModelAgent]) -> None:
        """Make the router; `make` returns the agent of a model, the program's own for None."""
        self._make = make
        self._own = make(None)
        self._beside: dict[str, ModelAgent] = {}
        self._running: Counter[str] = Counter()
        self._closed = False

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load the program's own model."""
        return await self._own.load(progress)

    async def run(self, input: RunAgentInput) -> AsyncIterator[BaseEvent]:  # noqa: A002 - the protocol's word
        """Return the events of one run; closing the iterator stops it."""
        props = input.forwarded_props
        wanted = props.get(MODEL) if isinstance(props, Mapping) else None
        name = wanted if isinstance(wanted, str) else ""
        # Counted before anything is waited for: what is to run here is not idle.
        self._running[name] += 1
        try:
            agent = self._agent(name)
            await self._close_idle(name)
            async with aclosing(agent.run(input)) as events:  # type: ignore[type-var]  # generators
                async for event in events:
                    yield event
        finally:
            self._running[name] -= 1

    async def memory(self) -> MemoryUse | None:
        """Return what the program's own model takes; None while it is not loaded."""
        return await memory_of(self._own)

    async def count_tokens(self, text: str) -> int | None:
        """Return how many tokens the program's own model makes of `text`; None before it is."""
        return await tokens_in(self._own, text)

    async def release(self, thread_id: str) -> None:
        """Free what any of the models keeps for a thread."""
        for agent in (self._own, *self._beside.values()):
            await agent.release(thread_id)

    async def close(self) -> None:
        """End every run and give the memory of all models back. Idempotent."""
        self._closed = True
        agents = (self._own, *self._beside.values())
        self._beside.clear()
        for agent in agents:
            await agent.close()

    def _agent(self, name: str) -> ModelAgent:
        if not name or self._closed:
            return self._own  # which says that it is closed
        agent = self._beside.pop(name, None) or self._make(name)
        self._beside[name] = agent  # the one used last is the last
        return agent

    async def _close_idle(self, name: str) -> None:
        """Close models that nothing runs on, until no more than allowed are left beside `name`."""
        while len(self._beside) > MOST_BESIDE:
            idle = [each for each in self._beside if each != name and not self._running[each]]
            if not idle:
                return
            await self._beside.pop(idle[0]).close()
