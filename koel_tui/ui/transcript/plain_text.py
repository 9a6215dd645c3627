"""Plain text of any length that may grow."""

from rich.segment import Segment

from koel_tui.ui.transcript.line_widget import LineSegments, LineWidget
from koel_tui.ui.transcript.text_wrapping import Wrapping


class PlainText(LineWidget):
    """Shows a text wrapped to the widget's width."""

    def __init__(self, text: str, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._wrapping = Wrapping(text)

    @property
    def text(self) -> str:
        """The whole text."""
        return self._wrapping.text

    def show(self, text: str) -> None:
        """Show a longer text that begins with the current one."""
        width = self.content_size.width
        before = self.count(width) if width else 0  # zero before the first layout
        self._wrapping.show(text)
        self.refresh(layout=not width or self.count(width) != before)

    def count(self, width: int) -> int:
        """Return the number of rows."""
        return self._wrapping.count(width)

    def row(self, index: int) -> LineSegments:
        """Return a row for the width last passed to `count`."""
        row = self._wrapping.row(index)
        # Without the space at which it is wrapped, which a selection up to the row's end adds.
        return LineSegments((Segment(row.text.removesuffix(" ")),), row.line, row.column)
