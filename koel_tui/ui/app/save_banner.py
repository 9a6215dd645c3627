"""The banner above the status line that reports save errors while they last."""

from textual import events
from textual.content import Content
from textual.widgets import Static

from koel_tui import formatting
from koel_tui.text import safe_line
from koel_tui.workspace.unsaved import SaveProblem

_MIN_FULL_HEIGHT = 14
"""Terminal height in rows below which the banner has only one line."""


class SaveBanner(Static):
    """Shows what is not saved, why, and what to do; hidden while there is no problem."""

    def __init__(self) -> None:
        super().__init__(id="banner")
        self._problem = SaveProblem()
        self.display = False

    def show(self, problem: SaveProblem) -> None:
        """Show `problem` if it differs from the current problem."""
        if problem != self._problem:
            self._problem = problem
            self.display = bool(problem.summary)
            self._paint()

    def on_resize(self, event: events.Resize) -> None:
        """Truncate the lines for the new width."""
        self._paint()

    def _paint(self) -> None:
        lines = [self._problem.summary, self._problem.reason, self._problem.advice]
        if self.app.size.height < _MIN_FULL_HEIGHT:
            del lines[1:]
        # Before the first layout the content has no size: the terminal less the padding.
        width = self.content_size.width or self.app.size.width - 2
        marks = ("✗ ", "  ", "  ")
        shown = [
            mark + formatting.truncate(safe_line(line, 1000), width - len(mark))
            for mark, line in zip(marks, lines, strict=False)  # there may be only one line
        ]
        self.update(Content.styled("\n".join(shown), "bold $text-error"))
