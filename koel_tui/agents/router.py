"""The router, which sends each run to the agent of its model."""

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
"""Unused models that stay loaded in addition to the default model."""


@dataclass(slots=True, eq=False)
class _Model:
    """A model in the pool, and the number of runs and loads that use it."""

    agent: LocalModelAgent
    file: ModelFile | None
    users: int = 0


class ModelRouter:
    """Routes each run to the agent of its model, or to the default model if it names none.

    A model file is loaded once, for all names and paths that refer to it. Agents are created when
    they are needed. A model over the limit is closed when it has no runs, the least recently used
    first; its threads need a new prefill when they continue.
    """

    def __init__(
        self,
        make: Callable[[str | None], LocalModelAgent],
        find: Callable[[str | None], Path | None] = lambda name: Path(name) if name else None,
    ) -> None:
        """`make` returns the agent of a model, that of the default model for None.

        `find` returns the file of a model, None if it cannot be found; it is called in a worker
        thread.
        """
        self._make = make
        self._find = find
        self._default = _Model(make(None), None)
        self._extra: list[_Model] = []  # least recently used first
        self._retired: list[_Model] = []  # previous defaults, closed when unused
        self._closing: set[asyncio.Task[None]] = set()
        self._paths: dict[str | None, Path] = {}
        self._closed = False

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load the default model. Raises what its agent raises."""
        return await self._default.agent.load(progress)

    async def use(self, model: str, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load another model and make it the default, which answers runs that name none.

        A model that is already loaded is not loaded again. The previous default stays in use until
        the load succeeds, and then finishes its runs. Raises what the load raises.
        """
        selected = await self._model(model)
        selected.users += 1
        try:
            info = await selected.agent.load(progress)
        except BaseException:
            selected.users -= 1
            if selected in self._extra and not selected.users:
                self._extra.remove(selected)
                await selected.agent.close()
            raise
        selected.users -= 1
        if selected is not self._default and not self._closed:
            self._extra = [each for each in self._extra if each is not selected]
            previous, self._default = self._default, selected
            self._retired.append(previous)
            self._close_unused()
            await self._wait_closed()
        return info

    def agent(self, model: str | None = None, lora: str | None = None) -> BoundAgent:
        """Return an agent bound to one model, a file or a name, and one adapter.

        None means the default model, and the adapter that the model was loaded with.
        """
        return BoundAgent(self, model or None, lora or None)

    def ephemeral(self) -> BoundAgent:
        """Return the agent for ephemeral runs of the default model."""
        return self.agent().ephemeral()

    async def run(
        self,
        input: RunAgentInput,  # noqa: A002 - AG-UI names the run's input so
        settings: TurnSettings | None = None,
        *,
        model: str | None = None,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run. Closing the iterator stops it; errors are events.

        The model's agent stores nothing of an `ephemeral` run.
        """
        model_entry = await self._model(model or "")
        # Count the user before the next await, because a model with users is not closed.
        model_entry.users += 1
        try:
            self._close_unused()
            await self._wait_closed()  # frees memory for the next model
            running = model_entry.agent.run(input, settings, lora=lora, ephemeral=ephemeral)
            # Agents return generators, which can be closed; the protocol requires only iterators.
            async with aclosing(running) as events:  # type: ignore[type-var]  # a generator
                async for event in events:
                    yield event
        finally:
            model_entry.users -= 1
            self._close_unused()

    async def memory(self) -> MemoryUse | None:
        """Return the memory use of the default model, None while it is not loaded."""
        return await memory_of(self._default.agent)

    async def count_tokens(self, text: str) -> int | None:
        """Return how many tokens `text` has for the default model, None before it is loaded.

        Raises what its agent raises.
        """
        return await tokens_in(self._default.agent, text)

    async def release(self, thread_id: str) -> None:
        """Free the contexts of a thread in all models."""
        for model in (self._default, *self._extra, *self._retired):
            await model.agent.release(thread_id)

    async def close(self) -> None:
        """Stop every run and free the memory of all models. Idempotent."""
        self._closed = True
        models = (self._default, *self._extra, *self._retired)
        self._extra.clear()
        self._retired.clear()
        for model in models:
            await model.agent.close()
        await self._wait_closed()

    async def _model(self, name: str) -> _Model:
        """Return the model of this name: the default, one from the pool, or a new one."""
        if not name or self._closed:
            return self._default  # its agent reports that it is closed
        file = await asyncio.to_thread(self._file, name)
        default = self._default  # `use` may change it during the search
        if default.file is None:
            default.file = await asyncio.to_thread(self._file, None)
        if self._closed or (file is not None and file == self._default.file):
            return self._default
        for pool in (self._extra, self._retired):
            for model in pool:
                if file is not None and model.file == file:
                    pool.remove(model)
                    self._extra.append(model)
                    return model
        self._extra.append(_Model(self._make(name), file))
        return self._extra[-1]

    def _file(self, name: str | None) -> ModelFile | None:
        path = self._paths.get(name)
        if path is None or not path.exists():  # a search walks all model folders
            path = self._find(name)
        if path is None:
            return None
        self._paths[name] = path
        return ModelFile.from_path(path)

    def _close_unused(self) -> None:
        """Start to close retired models, those without a file, and extra ones over the limit."""
        unused = [each for each in self._retired if not each.users]
        unused += [each for each in self._extra if not each.users and each.file is None]
        with_file = [each for each in self._extra if each.file is not None]
        excess = max(0, len(with_file) - MAX_EXTRA_MODELS)
        unused += [each for each in with_file if not each.users][:excess]
        for model in unused:
            (self._retired if model in self._retired else self._extra).remove(model)
            closing = asyncio.create_task(model.agent.close(), name="model close")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _wait_closed(self) -> None:
        if self._closing:
            await asyncio.wait(set(self._closing))
