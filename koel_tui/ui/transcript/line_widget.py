"""A widget of any number of rows that renders only the visible ones."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.text import Text
from textual.geometry import Size
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class LineSegments:
    """One row: styled text, and its line and column in the whole text."""

    segments: Sequence[Segment]
    line: int
    column: int = 0


class LineWidget(Widget):
    """Base class for widgets of rows; copying a selection yields the original text."""

    DEFAULT_CSS = """
    LineWidget {
        width: 1fr;
        height: auto;
    }
    """

    @property
    @abstractmethod
    def text(self) -> str:
        """The whole text."""

    @abstractmethod
    def count(self, width: int) -> int:
        """Return the number of rows at this width."""

    @abstractmethod
    def row(self, index: int) -> LineSegments:
        """Return a row for the width last passed to `count`."""

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of rows."""
        return self.count(width)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """Return the selected text."""
        return selection.extract(self.text), "\n"

    def render_line(self, y: int) -> Strip:
        """Return one row as a strip."""
        width = self.content_size.width
        style = self.visual_style.rich_style
        if y >= self.count(width):
            return Strip.blank(width, style)
        row = self.row(y)
        segments = Segment.apply_style(row.segments, style)
        if (selection := self.text_selection) and (span := selection.get_span(row.line)):
            text = Text.assemble(*((each.text, each.style or "") for each in segments))
            end = span[1] - row.column if span[1] >= 0 else len(text)
            text.stylize(self.selection_style, max(0, span[0] - row.column), max(0, end))
            segments = text.render(self.app.console)
        # The padding has no offsets: it belongs to the end of the row, not to the text of the next.
        strip = Strip(segments).apply_offsets(row.column, row.line)
        return strip.adjust_cell_length(width, style)
