"""Composition of the program's parts: a client with its agent and storage, from the settings."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from koel_tui import paths
from koel_tui.agents import LocalAgent, ModelRouter, Snapshots
from koel_tui.cli.early_settings import is_encrypted
from koel_tui.cli.stdio.streams import print_notice
from koel_tui.cli.unlock import unlock
from koel_tui.conversation.backend import Backend
from koel_tui.engine import Engine, EngineHost, ModelLoadError, ModelSpec, Sampling
from koel_tui.models import ModelFileError, NoModelError, choose_model
from koel_tui.protocol import TurnSettings
from koel_tui.protocol.turn_settings import RANGES
from koel_tui.session import KoelClient, keep_usage
from koel_tui.settings import Settings
from koel_tui.storage import EncryptedFileStorage, JsonFileStorage
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.search.index_updater import IndexUpdater
from koel_tui.storage.search.thread_index import ThreadIndex, index_file, remove_index
from koel_tui.text import safe_text
from koel_tui.workspace.window_state import remove_state_files

_COALESCE_S = 0.04
"""Seconds within which deltas are coalesced; the app paints at most 20 times a second."""


def create_local_agent(settings: Settings, snapshots: Snapshots | None = None) -> LocalAgent:
    """Return the agent of the model in `settings`, which runs in the runner process."""

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

    return LocalAgent(load, turn_settings(settings), snapshots, gap_s=_COALESCE_S)


def model_spec(settings: Settings, model: Path) -> ModelSpec:
    """Return the specification for loading a model file."""
    return ModelSpec(
        model,
        context_tokens=settings.context_tokens,
        gpu_layers=settings.gpu_layers,
        threads=settings.threads,
        speculation=settings.speculation,
    )


def create_model_router(settings: Settings, snapshots: Snapshots | None) -> ModelRouter:
    """Return the app's agent: the model of `settings`, and others for threads that select them."""

    def agent(model: str | None) -> LocalAgent:
        chosen = settings if model is None else settings.model_copy(update={"model": Path(model)})
        return create_local_agent(chosen, snapshots)

    def find(model: str | None) -> Path | None:
        named = settings.model if model is None else Path(model)
        try:
            return choose_model(named, settings.model_folders)
        except (ModelFileError, NoModelError, OSError):
            return None  # loading the agent reports the error

    return ModelRouter(agent, find)


def turn_settings(settings: Settings) -> TurnSettings:
    """Return the default turn settings for threads without their own."""
    return TurnSettings(
        system=settings.system,
        sampling=Sampling(**{name: getattr(settings, name) for name in RANGES}),
        max_output_tokens=settings.max_output_tokens,
        chat_template=settings.chat_template,
    )


def threads_directory() -> Path:
    """Return the directory of the user's threads. Raises `DirectoryError`.

    A warning is printed once, when it is created, if other users can read it.
    """
    paths.private_directory(paths.data_dir())
    is_new = not paths.threads_dir().exists()
    directory = paths.private_directory(paths.threads_dir())
    if is_new and directory.stat().st_mode & 0o077:
        warning = (
            f"koel-chat: The file system of {directory} keeps no permissions, so other users may "
            "read your threads. Set XDG_DATA_HOME to a directory on another disk, or encrypt them."
        )
        print_notice(safe_text(warning))
    return directory


def open_storage() -> FileStorage:
    """Return the storage of the user's threads, encrypted or not.

    For encrypted threads the key is found, or requested on the terminal, before the return. Raises
    `DirectoryError` if the directory cannot be used, `WrongPassphraseError`, `NoKeyError`.
    """
    directory = threads_directory()
    if not is_encrypted():
        return JsonFileStorage(directory)
    return EncryptedFileStorage(directory, key=unlock(directory))


def open_index(storage: FileStorage) -> ThreadIndex:
    """Return the search index of the user's threads."""
    return ThreadIndex(storage, paths.cache_dir())


def open_snapshots() -> Snapshots:
    """Return the store of unencrypted KV snapshots of threads."""
    return Snapshots(paths.cache_dir() / "kv")


def remove_unencrypted_data(directory: Path) -> None:
    """Remove all unencrypted data derived from these threads. Raises `StorageError`, OSError."""
    remove_index(index_file(paths.cache_dir(), directory))
    open_snapshots().clear()
    remove_state_files(paths.state_dir())


def create_backend(settings: Settings, storage: FileStorage | None = None) -> Backend:
    """Return the app's backend; without `storage` the user's threads are opened."""
    storage = storage or open_storage()
    unencrypted = not isinstance(storage, EncryptedFileStorage)
    kv_snapshots = open_snapshots() if unencrypted else None
    agent = create_model_router(settings, kv_snapshots)
    index = open_index(storage)
    return Backend(
        KoelClient(agent, storage=storage, reducers=[keep_usage]),
        storage,
        agent,
        # The index of encrypted threads is in memory only and built lazily.
        index_updater=IndexUpdater(storage, index) if unencrypted else None,
        index=index,
        snapshots=kv_snapshots,
        defaults=turn_settings(settings),
        titles=settings.titles,
    )
