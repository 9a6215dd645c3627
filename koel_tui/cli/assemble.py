"""Puts the rooms together: settings in, a client with its agent and storage out."""

from collections.abc import Callable

from koel_tui import paths
from koel_tui.agents import LocalAgent, TurnSettings
from koel_tui.engine import Engine, EngineHost, ModelLoadError, ModelSpec, Sampling
from koel_tui.models import ModelFileError, NoModelError, choose_model
from koel_tui.session import KoelClient
from koel_tui.settings import Settings
from koel_tui.storage import JsonFileStorage
from koel_tui.ui.backend import Backend


def local_agent(settings: Settings, *, defaults: TurnSettings | None = None) -> LocalAgent:
    """Return the agent that answers with the model of `settings`, in the runner process."""

    async def load(progress: Callable[[float], None]) -> Engine:
        try:
            path = choose_model(settings.model)
        except (ModelFileError, NoModelError) as error:
            raise ModelLoadError(str(error)) from error
        spec = ModelSpec(
            path,
            context_tokens=settings.context_tokens,
            gpu_layers=settings.gpu_layers,
            threads=settings.threads,
        )
        return await EngineHost.load(
            spec,
            max_sessions=settings.max_sessions,
            parallel=settings.parallel,
            on_progress=progress,
        )

    return LocalAgent(load, defaults or turn_settings(settings))


def turn_settings(settings: Settings) -> TurnSettings:
    """Return how threads are answered that say nothing of it themselves."""
    return TurnSettings(
        system=settings.system,
        sampling=Sampling(temperature=settings.temperature, seed=settings.seed),
        max_output_tokens=settings.max_output_tokens,
    )


def open_storage() -> JsonFileStorage:
    """Return the user's threads. Raises `DirectoryError` when their place cannot be used."""
    paths.private_directory(paths.data_dir())
    return JsonFileStorage(paths.private_directory(paths.threads_dir()))


def backend(settings: Settings) -> Backend:
    """Return everything the window talks to."""
    storage, agent = open_storage(), local_agent(settings)
    return Backend(client=KoelClient(agent, storage=storage), storage=storage, agent=agent)
