"""Markdown of any size in one widget, rendered on a worker thread."""

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.selection import Selection

from koel_tui.system.daemon_thread import run_in_daemon_thread
from koel_tui.ui.transcript import markdown_parser
from koel_tui.ui.transcript.line_widget import LineSegments, LineWidget

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Markdown

Rows = Sequence[Sequence[Segment]]

_SOURCE, _SEPARATOR = "source", "separator"
"""Names in the metadata of a style: the line of a row, and the text before a continued row."""
_EMPTY = "\0"
"""The separator within a word."""
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

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """Return the selected text without the line breaks and the padding of the screen."""
        first = selection.start.y if selection.start is not None else 0
        pieces = selection.extract(self.text).split("\n")
        lines = [pieces[0]]
        for index, piece in enumerate(pieces[1:], first + 1):
            lines[-1] = lines[-1].rstrip(" ")
            column = 0
            for part in self._render_lines[index]:
                if part.style is not None and (separator := part.style.meta.get(_SEPARATOR)):
                    lines[-1] += separator.removeprefix(_EMPTY) + piece[column:]
                    break
                column += len(part.text)
            else:
                lines.append(piece)
        return "\n".join(lines).rstrip(), "\n"

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
    from rich.theme import Theme

    document, sources = _document(text)
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=True,
        color_system="truecolor",
        theme=Theme(_STYLES),
    )
    return _mark_continued_rows(console.render_lines(document, pad=False), sources)


def _document(text: str) -> "tuple[Markdown, list[str]]":
    """Return a Markdown document, and the lines of its paragraphs, filled while it is rendered."""
    from rich.markdown import Markdown, Paragraph

    sources: list[str] = []

    class MarkedParagraph(Paragraph):
        """A paragraph of which each character has the number of its line."""

        def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
            begin = 0
            for line in self.text.plain.split("\n"):
                style = Style(meta={_SOURCE: len(sources)})
                self.text.stylize(style, begin, begin + len(line))
                sources.append(line)
                begin += len(line) + 1
            yield from super().__rich_console__(console, options)

    class MarkedDocument(Markdown):
        elements: ClassVar = {**Markdown.elements, "paragraph_open": MarkedParagraph}

    document = MarkedDocument("", hyperlinks=False, code_theme="ansi_dark")
    # Rich's own parser does not sanitize.
    document.parsed = markdown_parser.create_parser().parse(text)
    return document, sources


def _mark_continued_rows(rows: Rows, sources: Sequence[str]) -> Rows:
    """Mark each row that continues the line of the row before, with the text between both."""
    marked: list[list[Segment]] = []
    previous, position = -1, 0
    for segments in rows:
        row = list(segments)
        numbers = [-1 if part.style is None else part.style.meta.get(_SOURCE, -1) for part in row]
        number = max(numbers, default=-1)
        if number >= 0:
            position = position if number == previous else 0
            rest = sources[number][position:]
            spaces = len(rest) - len(rest.lstrip())
            if number == previous:
                first = numbers.index(number)
                separator = Style(meta={_SEPARATOR: " " if spaces else _EMPTY})
                text, style, _ = row[first]
                row[first] = Segment(text, separator if style is None else style + separator)
            texts = (part.text for part, each in zip(row, numbers, strict=True) if each == number)
            position += spaces + len("".join(texts).strip())
        previous = number
        marked.append(row)
    return marked
