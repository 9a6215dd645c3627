"""Choosing the model that answers: offered, downloaded if need be, loaded, and kept."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from textual.notifications import SeverityLevel

from koel_tui.text import safe_line
from koel_tui.ui.keys.hints import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

    from koel_tui.ui.models.model_download import ModelDownload
    from koel_tui.ui.models.model_rows import ModelChoice
    from koel_tui.workspace.runtime import Runtime

_KEY = "model"
"""The id of the key that opens the list."""
_WRITABLE = 0o200


class Tell(Protocol):
    """Shows the user a line for some seconds."""

    def __call__(self, text: str, severity: SeverityLevel = "information") -> None:
        """Show it."""
        ...


class ModelSwitcher:
    """Shows the models, and has the one that was chosen loaded now and at the next start."""

    def __init__(
        self,
        app: "App[int]",
        startup: "Runtime",
        download: "ModelDownload",
        tell: Tell,
        changed: "Callable[[], None]",
    ) -> None:
        """Make it; `changed` is called when another model answers."""
        self._app = app
        self._startup = startup
        self._download = download
        self._tell = tell
        self._changed = changed
        self._times_chosen = 0

    def offer(self, problem: str = "") -> None:
        """Show the models; `problem` is why, else what is wrong with the one there is."""
        from koel_tui.ui.models.model_panel import ModelPanel

        if self._startup.backend is None:
            self._tell("A model can be chosen as soon as the start is over.")
        elif not isinstance(self._app.screen, ModelPanel):
            panel = ModelPanel(self._download, problem or self._startup.notice, self._get)
            self._app.push_screen(panel, self._chosen)

    def offer_unasked(self, problem: str = "") -> None:
        """Show the models if the user does nothing else; what is typed is never meant for them."""
        if len(self._app.screen_stack) == 1:
            self.offer(problem)
        else:
            self._tell(f"{problem or self._startup.notice} {self._key} shows the models.", "error")

    @property
    def _key(self) -> str:
        return key_of(self._app, _KEY)

    def _chosen(self, choice: "ModelChoice | None") -> None:
        if choice is not None and choice.path is not None:
            self._take(choice.path)
        elif self._startup.lacks_model and not self._download.progress.running:
            self._tell(f"Threads can be read without a model. {self._key} shows the models again.")

    def _take(self, path: Path) -> None:
        self._times_chosen += 1
        self._app.run_worker(self._use(path), group="model", exclusive=True)

    def _get(self, choice: "ModelChoice") -> None:
        """Begin a download; what comes of it is chosen, unless something else was meanwhile."""
        before = self._times_chosen

        def ended(path: Path | None) -> None:
            self._got(path, chosen=before == self._times_chosen)

        self._download.begin(choice.repo, choice.file, ended)

    def _got(self, path: Path | None, *, chosen: bool) -> None:
        from koel_tui.ui.models.model_panel import ModelPanel
        from koel_tui.ui.models.model_rows import ModelChoice

        panel = self._app.screen if isinstance(self._app.screen, ModelPanel) else None
        progress = self._download.progress
        if path is None:
            if panel is None and progress.problem:
                self._tell(progress.problem, "error")
        elif chosen and panel is not None:
            panel.dismiss(ModelChoice(path.stem, path=path))
        elif chosen:
            self._take(path)
        else:
            self._tell(f"{progress.name} is here and works. {self._key} shows it.")

    async def _use(self, path: Path) -> None:
        try:
            await self._startup.use(str(path))
        except Exception as error:  # whatever it is, another model may do
            self.offer_unasked(str(error) or type(error).__name__)
            return
        self._changed()
        name = safe_line(self._startup.model)
        problem = await asyncio.to_thread(keep_model, path)
        if problem:
            self._tell(f"{name} answers from now on. {problem}", "warning")
        else:
            self._tell(f"{name} answers from now on, and at the next start.")
        if self._startup.advice:
            self._tell(self._startup.advice, "warning")


def keep_model(path: Path) -> str:
    """Make a model that of the next start; return why it will not be, empty when it will."""
    from koel_tui import paths
    from koel_tui.config_file import ConfigFileError, set_value
    from koel_tui.models.starter import starter_model
    from koel_tui.setting_sources import Origin, origin_of, variable_of

    file = paths.config_file()
    try:
        # Put in its place anew, a file could be changed that its owner has made read-only.
        if file.exists() and not file.stat().st_mode & _WRITABLE:
            raise PermissionError(0, "it is read-only")
        # The starter is what runs without a model named, wherever the next version has it.
        set_value(file, "model", None if path == starter_model() else str(path))
    except (ConfigFileError, paths.DirectoryError) as error:
        return f"It is not kept for the next start: {error}"
    except (OSError, ValueError) as error:  # a name that is no text is the latter
        why = getattr(error, "strerror", None) or error
        return (
            f"It is not kept for the next start: {file} cannot be changed ({why}). "
            f"Name it there, or with --model: {path}"
        )
    if origin_of("model") is Origin.ENVIRONMENT:
        return f"{variable_of('model')} is set and goes before that at the next start."
    return ""
