"""The panel in which the user chooses a model or downloads one."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, tee
from time import monotonic
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from koel_tui import formatting
from koel_tui.text import safe_line, search_words
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.models.model_download import DownloadProgress, ModelDownload
from koel_tui.ui.models.model_rows import (
    LOOKING,
    NO_STARTER,
    NOTHING_FOUND,
    ModelChoice,
    download_row,
    file_row,
    local_row,
    parse_typed_download,
)
from koel_tui.ui.widgets.picker import Picker, PickerTexts

_BATCH_S = 0.2
"""Seconds after which the models found so far are listed."""
_REFRESH_S = 0.2
"""Seconds between two updates of the message while the panel is open."""
_BAR_CELLS = 16
_MIN_LIST_ROWS = 3
"""The rows of the list that a long error message leaves free."""
_STOP_HINT = "del stops it"


class ModelPanel(Picker[ModelChoice]):
    """Lists models. Returns one that has a file, or None. Closing it does not stop a download."""

    TEXTS = PickerTexts(
        title="Choose a model",
        placeholder="Type to find one, or OWNER/NAME on Hugging Face",
        empty="No model was found",
        submit_label="selects",
        unmatched="No match; OWNER/NAME downloads one",
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        close_binding("model"),
        Binding("delete,ctrl+d", "stop", show=False, priority=True),
    ]

    def __init__(
        self, download: ModelDownload, problem: str, start_download: Callable[[ModelChoice], None]
    ) -> None:
        """`problem` is the reason why a model must be chosen; empty if there is none."""
        super().__init__([LOOKING])
        self._download = download
        self._problem = problem
        self._start_download = start_download
        self._message = Static(id="message")
        self._message.display = False
        self._shown_message = Content()
        self._candidates: list[ModelChoice] = []
        """The files of the repository to choose from if the requested file was ambiguous."""

    def parts(self) -> Iterable[Widget]:
        """Return the field, the list and the message."""
        return self._find, self._list, self._message

    def on_mount(self) -> None:
        """Start the search for models and the updates of the message."""
        self.run_worker(self._find_models())
        self.set_interval(_REFRESH_S, self._update_message)

    def on_resize(self, event: events.Resize) -> None:
        """Render the message for the new width."""
        self.call_after_refresh(self._update_message)

    @property
    def max_rows(self) -> int:
        """The maximum height of the list in lines, less the lines of the message."""
        return max(1, super().max_rows - self._count_lines(self._shown_message))

    def matching(self, typed: str) -> list[ModelChoice]:
        """Return a typed download, then the candidate files and the models that match."""
        typed_download = parse_typed_download(typed)
        words = search_words(typed)
        return [
            *([typed_download] if typed_download else []),
            *(choice for choice in self._candidates if choice.matches(words)),
            *super().matching(typed),
        ]

    def submit(self, choice: ModelChoice | None) -> None:
        """Dismiss with a model file, or start a download."""
        if choice is None or choice.path is not None:
            self.dismiss(choice)
        elif self._download.progress.running:
            self.notify(f"A download is running: {_STOP_HINT}.")
        else:
            self._problem = ""
            self._start_download(choice)
            self._update_message()

    def action_stop(self) -> None:
        """Stop the download; downloaded data is kept."""
        self._problem = ""
        self._download.stop()

    async def _find_models(self) -> None:
        """List the local models as they are found, then the recommended downloads.

        If the downloads were listed earlier, each new model would move them down.
        """
        found: list[ModelChoice] = []
        models = _local_models()
        try:
            while batch := await asyncio.to_thread(_next_batch, models):
                found += batch
                self._replace_choices([*found, LOOKING])
        except Exception as error:  # the downloads can be listed anyway
            self._problem = f"Not all models can be listed: {error}"
        from koel_tui.models.recommended import RECOMMENDED

        self._replace_choices([*(found or [NOTHING_FOUND]), *map(download_row, RECOMMENDED)])

    def _replace_choices(self, choices: list[ModelChoice]) -> None:
        """Replace the choices, keeping the highlighted one."""
        before = self.highlighted
        self.set_choices(choices)
        if before in self._shown:
            self._list.highlighted = self._shown.index(before)

    def _update_message(self) -> None:
        progress = self._download.progress
        candidates = [file_row(progress.repo, file) for file in progress.files]
        if candidates != self._candidates:
            self._candidates = candidates
            self._find.value = self._typed = ""  # the typed repository would hide the candidates
            self._fill()
        message = self._format_message(progress)
        if not message.is_same(self._shown_message):
            self._shown_message = message
            self._message.update(message)
            self._message.display = bool(message.plain)
            self._list.styles.max_height = self.max_rows

    def _format_message(self, progress: DownloadProgress) -> Content:
        """Return the last problem, or the progress while a download runs."""
        problem = "" if progress.running else self._problem or progress.problem
        if not problem:
            return format_progress(progress, self._width)
        lines = max(1, super().max_rows - _MIN_LIST_ROWS)
        max_characters = self._width * lines * 4 // 5  # wrapping leaves some cells unused
        return Content.styled(safe_line(problem, max(1, max_characters)), "$text-error")

    def _count_lines(self, message: Content) -> int:
        return len(message.wrap(max(1, self._width))) if message.plain else 0

    @property
    def _width(self) -> int:
        return self._panel.scrollable_content_region.width


def format_progress(progress: DownloadProgress, width: int) -> Content:
    """Return the progress message of a download, formatted for this width."""
    name = safe_line(progress.name, 60)
    match progress.phase:
        case "resolving":
            return Content(f"Asking Hugging Face for {name}… · {_STOP_HINT}")
        case "downloading":
            title = formatting.truncate(f"Downloading {name}", width)
            bar = formatting.progress_bar(progress.fraction, _BAR_CELLS)
            return Content(f"{title}\n{bar} {progress.size_and_speed} · {_STOP_HINT}")
        case "stopping":
            return Content("Stopping… The partial download is kept.")
        case "verifying":
            return Content(f"{name} is downloaded. Verifying it… · {_STOP_HINT}")
        case "stopped" if progress.total and progress.done >= progress.total:
            return Content(f"{name} is downloaded but not verified. It will be listed next time.")
        case "stopped":
            at = f" at {progress.fraction:.0%}" if progress.total else ""
            return Content(f"Stopped{at}. Choose it again to resume.")
        case _:
            return Content()


def _local_models() -> Iterator[ModelChoice]:
    """Yield the local models, first the starter model or how to install it."""
    from koel_tui.models.discovery import Source, iter_models
    from koel_tui.models.downloaded import model_files
    from koel_tui.models.probe import verified_models
    from koel_tui.settings import load_settings

    verified = verified_models()
    models = iter_models(load_settings().model_folders)
    first = next(models, None)  # the starter model, if it is installed
    if first is None or first.source is not Source.STARTER:
        yield NO_STARTER
    listed, looked_up = tee(chain([first] if first else [], models))
    # One call for all models, because each call reads the cache of verified models.
    results = verified.find_each(model_files(model.path) for model in looked_up)
    for model, properties in zip(listed, results, strict=True):
        yield local_row(model, works=properties is not None)


def _next_batch(models: Iterator[ModelChoice]) -> list[ModelChoice]:
    """Return the models found within `_BATCH_S`, at least one unless there are no more."""
    end = monotonic() + _BATCH_S
    batch = []
    for model in models:
        batch.append(model)
        if monotonic() > end:
            break
    return batch
