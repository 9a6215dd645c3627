"""Control of when and how often Textual computes the layout."""

from contextlib import AbstractContextManager, suppress

from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Markdown
from textual.widgets._markdown import MarkdownTable


def follows_end(widget: Widget) -> bool:
    """Return whether an anchored widget is scrolled to its end and stays there as it grows."""
    return widget.is_anchored and not widget._anchor_released


def layout_now(widget: Widget) -> None:
    """Compute the layout of the screen now. Call it within a batch, so that nothing is painted yet.

    Use it to learn before the next frame how far new content moves the rest.
    """
    widget.screen._refresh_layout()


class SingleLayout:
    """Mixin for a scrolling widget whose content needs only one layout pass when it grows.

    Textual repeats the layout when content grows, because a scrollbar might be needed. But a
    scrollbar that appears requests a layout itself. Only table rows need the second pass, because
    their heights are computed after their widths.
    """


def _size_updated_once(
    widget: Widget, size: Size, virtual_size: Size, container_size: Size, layout: bool = True
) -> bool:
    for node in widget.ancestors_with_self if layout else ():
        if isinstance(node, (SingleLayout, MarkdownTable)):
            layout = isinstance(node, MarkdownTable)
            break
    return _size_updated(widget, size, virtual_size, container_size, layout)


_size_updated = Widget._size_updated
Widget._size_updated = _size_updated_once  # type: ignore[assignment, method-assign]  # for all


def redraw_tables(body: Markdown) -> None:
    """Redraw the tables, because Textual may show outdated lines of a table that grew."""
    for table in body.query(MarkdownTable):
        for content in table.children:
            content.refresh(layout=True)


def ignore_empty_list() -> AbstractContextManager[None]:
    """Return a guard for paging in an `OptionList` that is empty or has no layout yet.

    Textual would raise `KeyError` for a missing line, which would end the app.
    """
    return suppress(KeyError)
