"""Several models behind one agent: each thread is answered by the one it wants."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.agents.abilities import MemoryUse, memory_of, tokens_in
from koel_tui.agents.agent import LocalModelAgent, ModelInfo
from koel_tui.agents.bound import BoundAgent
from koel_tui.protocol.turn_settings import TurnSettings

MOST_BESIDE = 1
"""Models kept loaded beside the program's own while nothing runs there: each takes its memory."""


class ModelRouter:
    """Hands each run to the agent of the model it names, and to the first one where it names none.

    Agents are made when they are needed. One too many is closed when nothing runs there, the one
    unused longest first; its threads are read again when they go on.
    """

    def __init__(self, make: Callable[[str | None], LocalModelAgent]) -> None:
        """Make the router; `make` returns the agent of a model, the program's own for None."""
        self._make = make
        self._own = make(None)
        self._beside: dict[str, LocalModelAgent] = {}
        self._apart: list[LocalModelAgent] = []
        """Those that get no runs: not yet, while they load, or no more."""
        self._running: Counter[LocalModelAgent] = Counter()
        self._closed = False

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load the program's own model. Raises what its agent raises."""
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

    def agent(self, model: str | None = None, lora: str | None = None) -> BoundAgent:
        """Return the agent of a thread: its runs go to one model, a file or a name, and adapter.

        None is the program's own model, and the adapter that it is loaded with.
        """
        return BoundAgent(self, model or None, lora or None)

    async def run(
        self,
        input: RunAgentInput,  # noqa: A002 - the protocol's word
        settings: TurnSettings | None = None,
        *,
        model: str | None = None,
        lora: str | None = None,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run; closing the iterator stops it. Errors are events."""
        agent = self._agent(model or "")
        # Counted before anything is waited for: what is to run here is not idle.
        self._running[agent] += 1
        try:
            await self._close_idle()
            # Agents return generators, which can be closed; the protocol asks for iterators only.
            running = agent.run(input, settings, lora=lora)
            async with aclosing(running) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event
        finally:
            self._running -= Counter([agent])  # which forgets those at nought
            if agent in self._apart and not self._running[agent]:
                await self._close_apart(agent)

    async def memory(self) -> MemoryUse | None:
        """Return the bytes the program's own model takes; None while it is not loaded."""
        return await memory_of(self._own)

    async def count_tokens(self, text: str) -> int | None:
        """Return how many tokens the program's own model makes of `text`; None before it is loaded.

        Raises what its agent raises.
        """
        return await tokens_in(self._own, text)

    async def release(self, thread_id: str) -> None:
        """Free what any of the models keeps for a thread."""
        for agent in (self._own, *self._beside.values(), *self._apart):
            await agent.release(thread_id)

    async def close(self) -> None:
        """End every run and give the memory of all models back. Idempotent."""
        self._closed = True
        agents = (self._own, *self._beside.values(), *self._apart)
        self._beside.clear()
        for agent in agents:
            await agent.close()

    def _agent(self, name: str) -> LocalModelAgent:
        if not name or self._closed:
            return self._own  # which says that it is closed
        agent = self._beside.pop(name, None) or self._make(name)
        self._beside[name] = agent  # the one used last is the last
        return agent

    async def _close_idle(self) -> None:
        """Close models that nothing runs on, the one unused longest first, down to the limit."""
        while len(self._beside) > MOST_BESIDE:
            idle = [name for name, agent in self._beside.items() if not self._running[agent]]
            if not idle:
                return
            await self._beside.pop(idle[0]).close()

    async def _close_apart(self, agent: LocalModelAgent) -> None:
        await agent.close()
        if agent in self._apart:
            self._apart.remove(agent)
