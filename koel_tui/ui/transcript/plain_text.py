"""Plain text of any length that may grow."""

from sys import maxsize

from rich.segment import Segment
from textual.geometry import Offset
from textual.selection import Selection

from koel_tui.ui.transcript.line_widget import LineSegments, LineWidget
from koel_tui.ui.transcript.text_wrapping import Wrapping, slice_written


class PlainText(LineWidget):
    """Shows a text wrapped to the widget's width."""

    def __init__(self, text: str, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._wrapping = Wrapping(text)
        self._written = text

    @property
    def text(self) -> str:
        """The whole text."""
        return self._wrapping.text

    def show(self, text: str) -> None:
        """Show a longer text that begins with the current one."""
        width = self.content_size.width
        before = self.count(width) if width else 0  # zero before the first layout
        self._wrapping.show(text)
        self._written = text
        self.refresh(layout=not width or self.count(width) != before)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """Return the selected text, with its tabs."""
        if "\t" not in self._written:
            return super().get_selection(selection)
        lines = self._written.split("\n")
        start = selection.start or Offset(0, 0)
        end = selection.end or Offset(maxsize, len(lines) - 1)
        selected = range(start.y, min(end.y, len(lines) - 1) + 1)
        pieces = [
            slice_written(
                lines[index],
                start.x if index == start.y else 0,
                end.x if index == end.y else maxsize,
            )
            for index in selected
        ]
        return "\n".join(pieces), "\n"

    def count(self, width: int) -> int:
        """Return the number of rows."""
        return self._wrapping.count(width)

    def row(self, index: int) -> LineSegments:
        """Return a row for the width last passed to `count`."""
        row = self._wrapping.row(index)
        # Without the space at which it is wrapped, which a selection up to the row's end adds.
        return LineSegments((Segment(row.text.removesuffix(" ")),), row.line, row.column)
