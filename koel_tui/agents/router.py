"""Several models behind one agent: each thread is answered by the one it wants."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.agents.agent import LocalModelAgent, ModelInfo
from koel_tui.agents.bound_agent import BoundAgent
from koel_tui.agents.capabilities import MemoryUse, memory_of, tokens_in
from koel_tui.agents.model_file import ModelFile
from koel_tui.protocol.turn_settings import TurnSettings

MAX_EXTRA_MODELS = 1
"""Models kept loaded in addition to the program's own while nothing runs there."""


@dataclass(slots=True, eq=False)
class _Model:
    """A model in the pool, and how many runs and loads use it now."""

    agent: LocalModelAgent
    file: ModelFile | None
    users: int = 0


class ModelRouter:
    """Hands each run to the agent of the model it names, and to the first one where it names none.

    A model file is loaded once, by whichever name or path it is asked for. Agents are made when
    they are needed. One too many is closed when nothing runs there, the one unused longest first;
    its threads are read again when they go on.
    """

    def __init__(
        self,
        make: Callable[[str | None], LocalModelAgent],
        find: Callable[[str | None], Path | None] = lambda name: Path(name) if name else None,
    ) -> None:
        """Make the router; `make` returns the agent of a model, the program's own for None.

        `find` returns the file of a model, None where it cannot be found; it is called in a thread.
        """
        self._make = make
        self._find = find
        self._own = _Model(make(None), None)
        self._extra: list[_Model] = []  # the one used last is the last
        self._retired: list[_Model] = []  # get no new runs
        self._closing: set[asyncio.Task[None]] = set()
        self._found: dict[str | None, Path] = {}
        self._closed = False

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load the program's own model. Raises what its agent raises."""
        return await self._own.agent.load(progress)

    async def use(self, model: str, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load another model and make it the program's own: it answers where none is named.

        One that is loaded already is not loaded again. The one before stays until then, also
        where the load fails, and ends what runs there. Raises what the load raises.
        """
        wanted = await self._model(model)
        wanted.users += 1
        try:
            info = await wanted.agent.load(progress)
        except BaseException:
            wanted.users -= 1
            if wanted in self._extra and not wanted.users:
                self._extra.remove(wanted)
                await wanted.agent.close()
            raise
        wanted.users -= 1
        if wanted is not self._own and not self._closed:
            self._extra = [each for each in self._extra if each is not wanted]
            before, self._own = self._own, wanted
            self._retired.append(before)
            self._close_unused()
            await self._closed_so_far()
        return info

    def agent(self, model: str | None = None, lora: str | None = None) -> BoundAgent:
        """Return the agent of a thread: its runs go to one model, a file or a name, and adapter.

        None is the program's own model, and the adapter that it is loaded with.
        """
        return BoundAgent(self, model or None, lora or None)

    def ephemeral(self) -> BoundAgent:
        """Return the agent for runs of the program's own model of which nothing is kept."""
        return self.agent().ephemeral()

    async def run(
        self,
        input: RunAgentInput,  # noqa: A002 - the protocol's word
        settings: TurnSettings | None = None,
        *,
        model: str | None = None,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run; closing the iterator stops it. Errors are events.

        The model keeps nothing of an `ephemeral` run.
        """
        chosen = await self._model(model or "")
        # Counted before anything else is waited for: a model with users is not closed.
        chosen.users += 1
        try:
            self._close_unused()
            await self._closed_so_far()  # before the next model is loaded, for its memory
            # Agents return generators, which can be closed; the protocol asks for iterators only.
            running = chosen.agent.run(input, settings, lora=lora, ephemeral=ephemeral)
            async with aclosing(running) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event
        finally:
            chosen.users -= 1
            self._close_unused()

    async def memory(self) -> MemoryUse | None:
        """Return the bytes the program's own model takes; None while it is not loaded."""
        return await memory_of(self._own.agent)

    async def count_tokens(self, text: str) -> int | None:
        """Return how many tokens the program's own model makes of `text`; None before it is loaded.

        Raises what its agent raises.
        """
        return await tokens_in(self._own.agent, text)

    async def release(self, thread_id: str) -> None:
        """Free what any of the models keeps for a thread."""
        for model in (self._own, *self._extra, *self._retired):
            await model.agent.release(thread_id)

    async def close(self) -> None:
        """End every run and give the memory of all models back. Idempotent."""
        self._closed = True
        models = (self._own, *self._extra, *self._retired)
        self._extra.clear()
        self._retired.clear()
        for model in models:
            await model.agent.close()
        await self._closed_so_far()

    async def _model(self, name: str) -> _Model:
        """Return the model of this name: the program's own, one in the pool, or a new one there."""
        if not name or self._closed:
            return self._own  # which reports that it is closed
        file = await asyncio.to_thread(self._file, name)
        if self._own.file is None:
            self._own.file = await asyncio.to_thread(self._file, None)
        if self._closed or (file is not None and file == self._own.file):
            return self._own
        for pool in (self._extra, self._retired):
            for model in pool:
                if file is not None and model.file == file:
                    pool.remove(model)
                    self._extra.append(model)
                    return model
        self._extra.append(_Model(self._make(name), file))
        return self._extra[-1]

    def _file(self, name: str | None) -> ModelFile | None:
        path = self._found.get(name)
        if path is None or not path.exists():  # a search walks through all folders of models
            path = self._find(name)
        if path is None:
            return None
        self._found[name] = path
        return ModelFile.of(path)

    def _close_unused(self) -> None:
        """Begin to close retired models, those without a file, and extra ones over the limit."""
        unused = [each for each in self._retired if not each.users]
        unused += [each for each in self._extra if not each.users and each.file is None]
        found = [each for each in self._extra if each.file is not None]
        over = max(0, len(found) - MAX_EXTRA_MODELS)
        unused += [each for each in found if not each.users][:over]
        for model in unused:
            (self._retired if model in self._retired else self._extra).remove(model)
            closing = asyncio.create_task(model.agent.close(), name="model close")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _closed_so_far(self) -> None:
        if self._closing:
            await asyncio.wait(set(self._closing))
