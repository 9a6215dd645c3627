"""Markdown of any size in one widget, rendered on a worker thread."""

from collections.abc import Sequence
from io import StringIO

from rich.segment import Segment
from textual import events

from koel_tui.system.daemon_thread import run_in_daemon_thread
from koel_tui.ui.transcript import markdown_parser
from koel_tui.ui.transcript.line_widget import LineSegments, LineWidget

Rows = Sequence[Sequence[Segment]]

_STYLES = {"markdown.code": "bold cyan", "markdown.h1.border": "dim"}


class RenderedMarkdown(LineWidget):
    """Shows the rendered rows of a Markdown text, and renders them again for a new width."""

    def __init__(self, source: str, rows: Rows, width: int) -> None:
        super().__init__()
        self._source = source
        self._render_lines = rows
        self._rendered_width = width

    @property
    def text(self) -> str:
        """The whole text as shown, row by row."""
        return "\n".join("".join(part.text for part in row) for row in self._render_lines)

    def on_resize(self, event: events.Resize) -> None:
        """Render the rows for the new width."""
        if self.content_size.width != self._rendered_width:
            self._rendered_width = self.content_size.width
            self.run_worker(self._rerender(self._rendered_width), group="rows", exclusive=True)

    async def _rerender(self, width: int) -> None:
        self._render_lines = await render_rows(self._source, width)
        self.refresh(layout=True)

    def count(self, width: int) -> int:
        """Return the number of rows."""
        return len(self._render_lines)

    def row(self, index: int) -> LineSegments:
        """Return a row."""
        return LineSegments(self._render_lines[index], index)


async def render_rows(text: str, width: int) -> Rows:
    """Render a Markdown text to rows on a worker thread; megabytes take seconds."""
    return await run_in_daemon_thread(lambda: _render_lines(text, width), "markdown rows")


def _render_lines(text: str, width: int) -> Rows:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    document = Markdown("", hyperlinks=False, code_theme="ansi_dark")
    document.parsed = markdown_parser.create_parser().parse(
        text
    )  # Rich's own parser does not sanitize
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=True,
        color_system="truecolor",
        theme=Theme(_STYLES),
    )
    return console.render_lines(document, pad=False)
