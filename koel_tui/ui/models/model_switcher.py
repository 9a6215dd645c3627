"""Choosing the model: list, download, load and save the choice."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui.text import safe_line
from koel_tui.ui.keys.hints import key_of
from koel_tui.workspace.runtime import STILL_STARTING

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

    from koel_tui.ui.models.model_download import ModelDownload
    from koel_tui.ui.models.model_rows import ModelChoice
    from koel_tui.workspace.runtime import Runtime

_KEY = "model"
"""Id of the key binding that opens the list."""
_WRITABLE = 0o200
_MAX_NOTE = 400
"""Maximum characters of a note about a model."""


class ModelSwitcher:
    """Shows the models, loads the chosen one and saves it for the next start."""

    def __init__(
        self,
        app: "App[int]",
        runtime: "Runtime",
        download: "ModelDownload",
        changed: "Callable[[], None]",
    ) -> None:
        """`changed` is called when another model was loaded."""
        self._app = app
        self._runtime = runtime
        self._download = download
        self._changed = changed
        self._choice_count = 0

    def show_models(self, problem: str = "") -> None:
        """Show the models and a problem, by default that of the current model."""
        from koel_tui.ui.models.model_panel import ModelPanel

        if self._runtime.backend is None:
            self._app.notify(STILL_STARTING)
        elif not isinstance(self._app.screen, ModelPanel):
            panel = ModelPanel(
                self._download, problem or self._runtime.problem_text, self._start_download
            )
            self._app.push_screen(panel, self._on_chosen)

    def show_models_unasked(self, problem: str = "") -> None:
        """Show the models unless another panel is open.

        Then show a notification only, so that keys typed in that panel choose no model.
        """
        if len(self._app.screen_stack) == 1:
            self.show_models(problem)
        else:
            self._app.notify(
                f"{problem or self._runtime.problem_text} {self._key} shows the models.",
                severity="error",
            )

    @property
    def _key(self) -> str:
        return key_of(self._app, _KEY)

    def _on_chosen(self, choice: "ModelChoice | None") -> None:
        if choice is not None and choice.path is not None:
            self._switch(choice.path)
        elif self._runtime.lacks_model and not self._download.progress.running:
            self._app.notify(
                f"Threads can be read without a model. {self._key} shows the models again."
            )

    def _switch(self, path: Path) -> None:
        self._choice_count += 1
        self._app.run_worker(self._load_model(path), group="model", exclusive=True)

    def _start_download(self, choice: "ModelChoice") -> None:
        """Start a download; choose its result unless the user chooses another model meanwhile."""
        before = self._choice_count

        def on_end(path: Path | None) -> None:
            self._on_downloaded(path, is_current=before == self._choice_count)

        self._download.start(choice.repo, choice.file, on_end)

    def _on_downloaded(self, path: Path | None, *, is_current: bool) -> None:
        from koel_tui.ui.models.model_panel import ModelPanel
        from koel_tui.ui.models.model_rows import ModelChoice

        panel = self._app.screen if isinstance(self._app.screen, ModelPanel) else None
        progress = self._download.progress
        if path is None:
            if panel is None and progress.problem:
                self._app.notify(progress.problem, severity="error")
        elif is_current and panel is not None:
            panel.dismiss(ModelChoice(path.stem, path=path))
        elif is_current:
            self._switch(path)
        else:
            self._app.notify(f"{progress.name} is downloaded and works. {self._key} shows it.")

    async def _load_model(self, path: Path) -> None:
        try:
            await self._runtime.switch_model(str(path))
        except Exception as error:  # any error; another model may work
            self.show_models_unasked(str(error) or type(error).__name__)
            return
        self._changed()
        name = safe_line(self._runtime.model_name)
        problem = await asyncio.to_thread(save_model_choice, path)
        if problem:
            self._app.notify(f"{name} answers from now on. {problem}", severity="warning")
        else:
            self._app.notify(f"{name} answers from now on, and at the next start.")
        from koel_tui.models.ollama import describe_unused_layers

        for note in (await asyncio.to_thread(describe_unused_layers, path), self._runtime.advice):
            if note:
                self._app.notify(safe_line(note, _MAX_NOTE), severity="warning")


def save_model_choice(path: Path) -> str:
    """Save a model for the next start; return why it will not be used then, or an empty string."""
    from koel_tui import paths
    from koel_tui.config_writer import ConfigFileError, set_setting
    from koel_tui.models.starter import starter_model
    from koel_tui.setting_sources import Origin, setting_origin, variable_name

    file = paths.config_file()
    try:
        # An atomic write replaces the file, so it would even change a read-only one.
        if file.exists() and not file.stat().st_mode & _WRITABLE:
            raise PermissionError(0, "it is read-only")
        # The starter is the default without a setting, so a path that an upgrade may change is not
        # saved.
        set_setting(file, "model", None if path == starter_model() else str(path))
    except (ConfigFileError, paths.DirectoryError) as error:
        return f"The choice is not saved for the next start: {error}"
    except (OSError, ValueError) as error:  # `ValueError`: the path is not valid text
        why = getattr(error, "strerror", None) or error
        return (
            f"The choice is not saved for the next start: {file} cannot be changed ({why}). "
            f"Name the model there, or with --model: {path}"
        )
    if setting_origin("model") is Origin.ENVIRONMENT:
        variable = variable_name("model")
        return f"{variable} is set and wins at the next start. Unset it to use this model."
    return ""
