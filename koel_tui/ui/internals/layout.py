"""Layout: when it is done, and how often."""

from contextlib import AbstractContextManager, suppress

from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Markdown
from textual.widgets._markdown import MarkdownTable


def follows_end(widget: Widget) -> bool:
    """Say whether an anchored widget is at its end and stays there when it grows."""
    return widget.is_anchored and not widget._anchor_released


def lay_out(widget: Widget) -> None:
    """Give every widget of the screen its place now, within a batch: nothing is painted yet.

    For what has to be known before the next frame: by how much something new moves the rest.
    """
    widget.screen._refresh_layout()


class SingleLayout:
    """Makes a scrolling widget one whose inside is laid out once, whatever grows in it.

    What holds something larger than before asks Textual for a second layout, because it might need
    a scrollbar. One that really appears asks for it as well. Only the rows of a table need it:
    they get their heights after their widths.
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


def draw_tables(body: Markdown) -> None:
    """Draw the lines of tables anew: of one that grew, Textual may still show those of before."""
    for table in body.query(MarkdownTable):
        for content in table.children:
            content.refresh(layout=True)


def unlaid_list() -> AbstractContextManager[None]:
    """Return what guards the paging of an OptionList that is empty or not laid out yet.

    Textual looks for a line that is not there, and the app would end.
    """
    return suppress(KeyError)
