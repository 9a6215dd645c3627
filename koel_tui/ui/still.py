"""Containers that leave what is in them alone."""

from textual.containers import Container
from textual.widget import Widget


class Still(Widget):
    """A container whose classes style nothing below it.

    Textual takes every change of its classes, or of whether something in it has the focus, for a
    reason to style all there is in it anew: half a second with a hundred messages.
    """

    def update_node_styles(self, animate: bool = True) -> None:
        """Leave everything as it is; a theme comes another way."""


class StillContainer(Still, Container):
    """A container for the place of messages."""
