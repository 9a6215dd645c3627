"""Puts the rooms together: settings in, a client with its agent and storage out."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from koel_tui import paths
from koel_tui.agents import LocalAgent, ModelRouter, Snapshots
from koel_tui.cli.early_settings import are_encrypted
from koel_tui.cli.unlock import unlocked
from koel_tui.conversation.backend import Backend
from koel_tui.engine import Engine, EngineHost, ModelLoadError, ModelSpec, Sampling
from koel_tui.models import ModelFileError, NoModelError, choose_model
from koel_tui.protocol import TurnSettings
from koel_tui.protocol.turn_settings import RANGES
from koel_tui.session import KoelClient, keep_usage
from koel_tui.settings import Settings
from koel_tui.storage import EncryptedFileStorage, JsonFileStorage
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.search.index_updater import IndexUpkeep
from koel_tui.storage.search.thread_index import ThreadIndex, index_file, remove_index
from koel_tui.workspace.window_state import forget

_GAP_S = 0.04
"""Seconds within which text travels as one event: it is painted 20 times a second at most."""


def local_agent(settings: Settings, snapshots: Snapshots | None = None) -> LocalAgent:
    """Return the agent that answers with the model of `settings`, in the runner process."""

    async def load(progress: Callable[[float], None]) -> Engine:
        try:
            path = await asyncio.to_thread(choose_model, settings.model, settings.model_folders)
        except (ModelFileError, NoModelError) as error:
            raise ModelLoadError(str(error)) from error
        return await EngineHost.load(
            model_spec(settings, path),
            max_sessions=settings.max_sessions,
            parallel=settings.parallel,
            on_progress=progress,
        )

    return LocalAgent(load, turn_settings(settings), snapshots, gap_s=_GAP_S)


def model_spec(settings: Settings, model: Path) -> ModelSpec:
    """Return how a model file is loaded."""
    return ModelSpec(
        model,
        context_tokens=settings.context_tokens,
        gpu_layers=settings.gpu_layers,
        threads=settings.threads,
    )


def model_router(settings: Settings, snapshots: Snapshots | None) -> ModelRouter:
    """Return the agent of a window: the model of `settings`, others for threads that want them."""

    def agent(model: str | None) -> LocalAgent:
        chosen = settings if model is None else settings.model_copy(update={"model": Path(model)})
        return local_agent(chosen, snapshots)

    def find(model: str | None) -> Path | None:
        named = settings.model if model is None else Path(model)
        try:
            return choose_model(named, settings.model_folders)
        except (ModelFileError, NoModelError, OSError):
            return None  # the load of its agent reports why

    return ModelRouter(agent, find)


def turn_settings(settings: Settings) -> TurnSettings:
    """Return how threads are answered that say nothing of it themselves."""
    return TurnSettings(
        system=settings.system,
        sampling=Sampling(**{name: getattr(settings, name) for name in RANGES}),
        max_output_tokens=settings.max_output_tokens,
        chat_template=settings.chat_template,
    )


def threads_directory() -> Path:
    """Return the directory of the user's threads. Raises `DirectoryError`."""
    paths.private_directory(paths.data_dir())
    return paths.private_directory(paths.threads_dir())


def open_storage() -> FileStorage:
    """Return the user's threads, in clear or encrypted as they are.

    The key of encrypted ones is found, or asked for on the terminal, before this returns. Raises
    `DirectoryError` when their place cannot be used, `WrongPassphraseError`, `NoKeyError`.
    """
    directory = threads_directory()
    if not are_encrypted():
        return JsonFileStorage(directory)
    return EncryptedFileStorage(directory, key=unlocked(directory))


def open_index(storage: FileStorage) -> ThreadIndex:
    """Return the search over the user's threads."""
    return ThreadIndex(storage, paths.cache_dir())


def snapshots() -> Snapshots:
    """Return the model's contexts of threads, kept in clear."""
    return Snapshots(paths.cache_dir() / "kv")


def forget_in_clear(directory: Path) -> None:
    """Remove what is written down in clear of these threads. Raises `StorageError`, OSError."""
    remove_index(index_file(paths.cache_dir(), directory))
    snapshots().clear()
    forget(paths.state_dir())


def backend(settings: Settings, storage: FileStorage | None = None) -> Backend:
    """Return everything the window talks to; `storage` unless it is to be opened now."""
    storage = storage or open_storage()
    in_clear = not isinstance(storage, EncryptedFileStorage)
    kept = snapshots() if in_clear else None
    agent = model_router(settings, kept)
    index = open_index(storage)
    return Backend(
        KoelClient(agent, storage=storage, reducers=[keep_usage]),
        storage,
        agent,
        # Of encrypted threads the index is in memory alone, and made when it is needed.
        upkeep=IndexUpkeep(storage, index) if in_clear else None,
        index=index,
        snapshots=kept,
        defaults=turn_settings(settings),
        titles=settings.titles,
    )
