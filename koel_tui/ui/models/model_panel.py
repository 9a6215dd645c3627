"""The panel of models: choose one, or download one."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from time import monotonic
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from koel_tui import formatting
from koel_tui.text import safe_line
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
_INTERVAL = 0.2
_BAR = 16
_MIN_LIST_ROWS = 3
"""Minimum list rows, which long messages must not take."""
_STOPS = "del stops it"


class ModelPanel(Picker[ModelChoice]):
    """Lists models. Returns a model file or None; a download continues after closing."""

    TEXTS = PickerTexts(
        "Choose a model",
        "Type to find one, or OWNER/NAME on Hugging Face",
        "No model was found",
        "selects",
        "No match; OWNER/NAME downloads one",
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        close_binding("model"),
        Binding("delete,ctrl+d", "stop", show=False, priority=True),
    ]

    def __init__(
        self, download: ModelDownload, problem: str, start_download: Callable[[ModelChoice], None]
    ) -> None:
        """`problem` is the reason why the panel is shown, `start_download` starts a download."""
        super().__init__([LOOKING])
        self._download = download
        self._problem = problem
        self._start_download = start_download
        self._news = Static(id="news")
        self._news.display = False
        self._shown_news = Content()
        self._files: list[ModelChoice] = []
        """The files of the repository to choose from if the requested file was ambiguous."""

    def parts(self) -> Iterable[Widget]:
        """Return the field, the list and the message."""
        return self._find, self._list, self._news

    def on_mount(self) -> None:
        """Start the search for models and the refreshing of the download progress."""
        self.run_worker(self._find_models())
        self.set_interval(_INTERVAL, self._update_news)

    def on_resize(self, event: events.Resize) -> None:
        """Render the message for the new width."""
        self.call_after_refresh(self._update_news)

    @property
    def max_rows(self) -> int:
        """Maximum rows of the list: those that the message leaves."""
        return max(1, super().max_rows - self._count_lines(self._shown_news))

    def matching(self, typed: str) -> list[ModelChoice]:
        """Return the choices, with a typed download first."""
        typed_download = parse_typed_download(typed)
        words = typed.casefold().split()
        files = [choice for choice in self._files if choice.matches(words)]
        return [*([typed_download] if typed_download else []), *files, *super().matching(typed)]

    def submit(self, choice: ModelChoice | None) -> None:
        """Dismiss with a model file, or start a download."""
        if choice is None or choice.path is not None:
            self.dismiss(choice)
        elif self._download.progress.running:
            self.notify(f"A download is running: {_STOPS}.")
        else:
            self._problem = ""
            self._start_download(choice)
            self._update_news()

    def action_stop(self) -> None:
        """Stop the download; downloaded data is kept."""
        self._problem = ""
        self._download.stop()

    async def _find_models(self) -> None:
        """List models as they are found; downloads come last, so that lines no longer move."""
        found: list[ModelChoice] = []
        models = _on_this_computer()
        try:
            while batch := await asyncio.to_thread(_batch, models):
                found += batch
                self._replace_choices([*found, LOOKING])
        except Exception as error:  # downloads are still available
            self._problem = f"Not all models can be listed: {error}"
        from koel_tui.models.recommended import RECOMMENDED

        self._replace_choices([*(found or [NOTHING_FOUND]), *map(download_row, RECOMMENDED)])

    def _replace_choices(self, choices: list[ModelChoice]) -> None:
        """Replace the choices, keeping the highlighted one."""
        before = self.highlighted
        self.set_choices(choices)
        if before in self._shown:
            self._list.highlighted = self._shown.index(before)

    def _update_news(self) -> None:
        progress = self._download.progress
        files = [file_row(progress.repo, file) for file in progress.files]
        if files != self._files:
            self._files = files
            self._find.value = self._typed = ""  # the typed download has been answered
            self._fill()
        news = self._format_message(progress)
        if not news.is_same(self._shown_news):
            self._shown_news = news
            self._news.update(news)
            self._news.display = bool(news.plain)
            self._list.styles.max_height = self.max_rows

    def _format_message(self, progress: DownloadProgress) -> Content:
        problem = "" if progress.running else self._problem or progress.problem
        if not problem:
            return format_progress(progress, self._width)
        lines = max(1, super().max_rows - _MIN_LIST_ROWS)
        most = self._width * lines * 4 // 5  # wrapping leaves some cells unused
        return Content.styled(safe_line(problem, max(1, most)), "$text-error")

    def _count_lines(self, news: Content) -> int:
        return len(news.wrap(max(1, self._width))) if news.plain else 0

    @property
    def _width(self) -> int:
        return self._panel.scrollable_content_region.width


def format_progress(progress: DownloadProgress, width: int) -> Content:
    """Return the progress message of a download, formatted for this width."""
    name, amounts = safe_line(progress.name, 60), progress.size_and_speed
    match progress.phase:
        case "resolving":
            return Content(f"Asking Hugging Face for {name}… · {_STOPS}")
        case "downloading":
            line = f"{formatting.progress_bar(progress.fraction, _BAR)} {amounts} · {_STOPS}"
            return Content(f"{formatting.truncate(f'Downloading {name}', width)}\n{line}")
        case "stopping":
            return Content("Stopping… The partial download is kept.")
        case "verifying":
            return Content(f"{name} is downloaded. Verifying it… · {_STOPS}")
        case "stopped" if progress.total and progress.done >= progress.total:
            return Content(f"{name} is downloaded but not verified. It will be listed next time.")
        case "stopped":
            at = f" at {progress.fraction:.0%}" if progress.total else ""
            return Content(f"Stopped{at}. Choose it again to resume.")
        case _:
            return Content()


def _on_this_computer() -> Iterator[ModelChoice]:
    """Yield the local models, first the starter model or how to install it."""
    from koel_tui.models.discovery import Source, iter_models
    from koel_tui.models.downloaded import model_files
    from koel_tui.models.probe import verified_models
    from koel_tui.settings import load_settings

    passed = verified_models()
    models = iter_models(load_settings().model_folders)
    first = next(models, None)
    if first is None or first.source is not Source.STARTER:
        yield NO_STARTER
    for model in chain([first] if first else [], models):
        yield local_row(model, passed.find(model_files(model.path)) is not None)


def _batch(models: Iterator[ModelChoice]) -> list[ModelChoice]:
    """Return the models found within `_BATCH_S`; empty if there are no more."""
    end = monotonic() + _BATCH_S
    batch = []
    for model in models:
        batch.append(model)
        if monotonic() > end:
            break
    return batch
