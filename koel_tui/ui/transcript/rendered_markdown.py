"""Markdown of any size in one widget, rendered on a worker thread."""

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from textual import events
from textual.selection import Selection

from koel_tui.system.daemon_thread import run_in_daemon_thread
from koel_tui.ui.transcript.line_widget import LineSegments, LineWidget

if TYPE_CHECKING:
    from koel_tui.ui.transcript.row_sources import Row, Source

_STYLES = {"markdown.code": "bold cyan", "markdown.h1.border": "dim"}


class RenderedMarkdown(LineWidget):
    """Shows the rendered rows of a Markdown text, and renders them again for a new width."""

    def __init__(self, source: str, rows: "Sequence[Row]", width: int) -> None:
        super().__init__()
        self._source = source
        self._rows = rows
        self._rendered_width = width

    @property
    def text(self) -> str:
        """The whole text as shown, row by row."""
        return "\n".join(row.text for row in self._rows)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """Return the selected text as written, without line breaks and padding of the screen."""
        from koel_tui.ui.transcript.row_sources import copied_text

        return copied_text(self._rows, selection), "\n"

    def on_resize(self, event: events.Resize) -> None:
        """Render the rows for the new width."""
        if self.content_size.width != self._rendered_width:
            self._rendered_width = self.content_size.width
            self.run_worker(self._rerender(self._rendered_width), group="rows", exclusive=True)

    async def _rerender(self, width: int) -> None:
        self._rows = await render_rows(self._source, width)
        self.refresh(layout=True)

    def count(self, width: int) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def row(self, index: int) -> LineSegments:
        """Return a row."""
        return LineSegments(self._rows[index].segments, index)


async def render_rows(text: str, width: int) -> "Sequence[Row]":
    """Render a Markdown text to rows on a worker thread; megabytes take seconds."""
    return await run_in_daemon_thread(lambda: _render_lines(text, width), "markdown rows")


def _render_lines(text: str, width: int) -> "Sequence[Row]":
    from rich.console import Console
    from rich.theme import Theme

    from koel_tui.ui.transcript.marked_document import marked_document
    from koel_tui.ui.transcript.row_sources import locate

    sources: list[Source] = []
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=True,
        color_system="truecolor",
        theme=Theme(_STYLES),
    )
    lines = console.render_lines(marked_document(text, sources), pad=False)
    return locate(lines, sources)
