"""The column of text in a transcript: lines of a readable length in a wide terminal."""

from textual.app import App, ComposeResult
from textual.geometry import Size
from textual.layout import DockArrangeResult
from textual.widget import Widget
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownBlock, MarkdownFence

from koel_tui.ui.widgets.blank_lines import BlankLines

_SOURCE = ("line length", "")
"""The name of the style sheet, under which it is replaced."""
_PADDING, _BORDER = 2, 1
"""Columns of a message next to its text: on both sides, and on the left of a user message."""


def limit_lines(app: App[int], columns: int) -> None:
    """Limit the lines of messages to `columns`, or to the width of the window if it is 0.

    Textual applies it as a maximum width. Wider terminals therefore wrap no text again.
    """
    app.stylesheet.add_source(_style_sheet(columns) if columns else "", _SOURCE)
    if app.is_running:
        app.refresh_css(animate=False)


def _style_sheet(columns: int) -> str:
    padded = columns + _PADDING
    return f"""
        #transcript .body, #transcript .note, #transcript #above, #transcript #below {{
            max-width: {padded};
        }}
        #transcript .headline {{ max-width: {columns}; }}
        #transcript .message.-user {{ max-width: {padded + _BORDER}; }}
        #transcript Markdown.body {{ max-width: 100%; }}
        #transcript Markdown.body > MarkdownBlock {{ max-width: {columns}; }}
        #transcript Markdown.body MarkdownFence {{
            width: auto;
            min-width: {columns};
            max-width: 100%;
        }}
    """


class _CodeBlock(MarkdownFence):
    """A code block that may be as wide as its longest line."""

    def compose(self) -> ComposeResult:
        """Yield the code, which would be as wide as the window in Textual's code block."""
        for code in super().compose():
            code.expand = False
            yield code


class AnswerMarkdown(BlankLines, Markdown):
    """Markdown whose code blocks may be wider than its text."""

    def get_block_class(self, block_name: str) -> type[MarkdownBlock]:
        """Return the class of a block."""
        is_code = block_name in ("fence", "code_block")
        return _CodeBlock if is_code else super().get_block_class(block_name)

    def arrange(self, size: Size, optimal: bool = False) -> DockArrangeResult:
        """Arrange the blocks, whose heights depend on their own text only.

        With the height of the answer Textual would arrange all of them twice when it grows.
        """
        return super().arrange(Size(size.width, 0), optimal)

    @property
    def text_width(self) -> int:
        """The width of its paragraphs; 0 before the first layout."""
        blocks = [each for each in self.children if not isinstance(each, MarkdownFence)]
        return max((each.size.width for each in blocks), default=self.content_size.width)


def row_end(widget: Widget | None, x: int, y: int) -> int | None:
    """Return the column of the screen where the text to the left of a point ends.

    `widget` is the one at the point. None if it does not belong to a transcript, or if no text is
    to the left.
    """
    end = None
    if widget is None or all(each.id != "transcript" for each in widget.ancestors_with_self):
        return end
    while True:
        regions = ((each.region, each) for each in widget.displayed_children)
        left = [
            (region.right, child)
            for region, child in regions
            if region.y <= y < region.bottom and region.right <= x
        ]
        if not left:
            return end
        _, widget = max(left, key=lambda each: each[0])
        end = widget.content_region.right - 1
