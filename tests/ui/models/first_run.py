"""Helpers of the model tests: a window that starts without a model, and the chosen models."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from koel_tui.agents import ModelInfo, ModelRouter
from koel_tui.conversation.backend import Backend
from koel_tui.engine import ModelLoadError
from koel_tui.session import KoelClient
from koel_tui.storage import MemoryStorage
from koel_tui.ui.models.model_panel import ModelPanel
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, opened

NO_MODEL = ModelLoadError("No model was found. Name a GGUF file with --model.")


class FileAgent(ScriptedAgent):
    """An agent of one model file; the load fails if the file name contains `broken`."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        if "broken" in self.path.name:
            raise ModelLoadError(f"Cannot load {self.path}: it is broken.")
        return ModelInfo(self.path.stem, 4096)


class FirstRun:
    """A window that starts without a model, and the agents of the chosen models."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self.storage = storage or MemoryStorage()
        self.first = ScriptedAgent(load_at_once=False)
        self.chosen: list[FileAgent] = []

    def connect(self) -> Backend:
        router = ModelRouter(self._make)
        return Backend(KoelClient(router, storage=self.storage), self.storage, router)

    def _make(self, name: str | None) -> ScriptedAgent:
        if name is None:
            return self.first
        self.chosen.append(FileAgent(name))
        return self.chosen[-1]

    @asynccontextmanager
    async def without_model(self, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Window]:
        self.first.end_load(NO_MODEL)
        async with opened(agent=self.first, connect=self.connect, size=size) as window:
            await window.until(lambda: isinstance(window.app.screen, ModelPanel))
            await window.sees("Qwen3-4B-GGUF")  # all models are listed
            yield window


@pytest.fixture
def first_run() -> FirstRun:
    return FirstRun()


async def left(window: Window) -> None:
    await window.press("escape")
    await window.until(lambda: len(window.app.screen_stack) == 1)
