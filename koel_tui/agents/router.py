"""Several models behind one agent: each thread is answered by the one it wants."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.agents.agent import ModelAgent, ModelInfo

MODEL = "model"
"""Key of a run's `forwardedProps`: the file or the name of the model that is to answer it."""

MOST_BESIDE = 1
"""Models kept loaded beside the program's own, at most: each takes its memory."""


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
        self._apart: list[ModelAgent] = []
        """Those that get no runs: not yet, while they load, or no more."""
        self._running: Counter[ModelAgent] = Counter()

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load the program's own model."""
        return await self._own.load(progress)

    async def use(self, model: str, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load another model and make it the program's own: it answers where none is named.

        The one before stays until then, also where the load fails, and ends what runs there.
        Raises what the load raises.
        """
        agent = self._make(model)
        self._apart.append(agent)
        try:
            info = await agent.load(progress)
        except BaseException:
            await self._close_apart(agent)
            raise
        self._apart.remove(agent)
        before, self._own = self._own, agent
        self._apart.append(before)
        if not self._running[before]:
            await self._close_apart(before)
        return info

    async def run(self, input: RunAgentInput) -> AsyncIterator[BaseEvent]:  # noqa: A002 - the protocol's word
        """Return the events of one run; closing the iterator stops it."""
        props = input.forwarded_props
        name = props.get(MODEL) if isinstance(props, Mapping) else None
        if not isinstance(name, str):
            name = ""
        agent = await self._agent(name)
        self._running[agent] += 1
        try:
            async with aclosing(agent.run(input)) as events:  # type: ignore[type-var]  # generators
                async for event in events:
                    yield event
        finally:
            self._running -= Counter([agent])  # which forgets those at nought
            if agent in self._apart and not self._running[agent]:
                await self._close_apart(agent)

    async def release(self, thread_id: str) -> None:
        """Free what any of the models keeps for a thread."""
        for agent in (self._own, *self._beside.values(), *self._apart):
            await agent.release(thread_id)

    async def close(self) -> None:
        """End every run and give the memory of all models back. Idempotent."""
        agents = (self._own, *self._beside.values(), *self._apart)
        self._beside.clear()
        for agent in agents:
            await agent.close()

    async def _agent(self, name: str) -> ModelAgent:
        if not name:
            return self._own
        agent = self._beside.pop(name, None) or self._make(name)
        self._beside[name] = agent  # the one used last is the last
        others = [each for each in self._beside.items() if each[0] != name]
        idle = [each for each, other in others if not self._running[other]]
        while len(self._beside) > MOST_BESIDE and idle:
            await self._beside.pop(idle.pop(0)).close()
        return agent

    async def _close_apart(self, agent: ModelAgent) -> None:
        await agent.close()
        if agent in self._apart:
            self._apart.remove(agent)
