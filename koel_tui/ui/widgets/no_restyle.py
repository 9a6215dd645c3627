"""Containers that leave what is in them alone."""

from textual.containers import Container


class NoRestyle:
    """Makes a container one whose classes style nothing below it.

    Textual takes every change of its classes, or of whether something in it has the focus, for a
    reason to style all there is in it anew: half a second with a hundred messages.
    """

    # Not a widget itself: of several widgets a class is made of, Textual styles it as the first.

    def update_node_styles(self, animate: bool = True) -> None:
        """Leave everything as it is; a theme comes another way."""


class NoRestyleContainer(NoRestyle, Container):
    """A container for the place of messages."""
