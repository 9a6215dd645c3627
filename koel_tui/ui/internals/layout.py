"""Control of when and how often Textual computes the layout."""

from contextlib import AbstractContextManager, suppress
from time import thread_time
from typing import TYPE_CHECKING

from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Markdown
from textual.widgets._markdown import MarkdownTable

if TYPE_CHECKING:
    from textual.screen import Screen

    _ScreenBase = Screen[None]
else:
    _ScreenBase = object


def follows_end(widget: Widget) -> bool:
    """Return whether an anchored widget is scrolled to its end and stays there as it grows."""
    return widget.is_anchored and not widget._anchor_released


def layout_now(widget: Widget) -> None:
    """Compute the layout of the screen now. Call it within a batch, so that nothing is painted yet.

    Use it to learn before the next frame how far new content moves the rest.
    """
    widget.screen._refresh_layout()


def share_layout(parent: Widget) -> None:
    """Let new blocks of Markdown in `parent` use the layout that their mounting has requested.

    Textual computes the layout a second time for widgets that had their text before they were
    mounted. Other widgets keep their requests: one that becomes visible has no size either, and
    nothing else requests its layout.
    """
    for body in parent.query(Markdown):
        for widget in body.walk_children(Widget):
            if not widget.size:
                widget._layout_required = False


class PaintTimer(_ScreenBase):
    """Mixin for a screen that measures the CPU time of its paints."""

    paint_seconds = 0.0

    def _on_timer_update(self) -> None:
        before = thread_time()
        super()._on_timer_update()
        self.paint_seconds += thread_time() - before


def paint_seconds(widget: Widget) -> float:
    """Return the CPU seconds of the paints of a widget's screen so far; 0 if it has no timer."""
    screen = widget.screen
    return screen.paint_seconds if isinstance(screen, PaintTimer) else 0.0


class SingleLayout:
    """Mixin for a scrolling widget whose content needs only one layout pass when it grows.

    Textual repeats the layout when content grows, because a scrollbar might be needed. But a
    scrollbar that appears requests a layout itself. Only table rows need the second pass, because
    their heights are computed after their widths.
    """


def _size_updated_once(
    widget: Widget, size: Size, virtual_size: Size, container_size: Size, layout: bool = True
) -> bool:
    layout = layout and widget.virtual_size != virtual_size  # else Textual does not repeat it
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
