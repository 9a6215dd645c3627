"""Containers that do not restyle their descendants."""

from textual.containers import Container


class NoRestyle:
    """Mixin for a container whose CSS classes do not affect its descendants.

    Textual restyles all descendants whenever the classes or the focus state of a container
    change, which takes half a second with a hundred messages.
    """

    # Not a widget itself, because Textual styles a class as its first widget base class.

    def update_node_styles(self, animate: bool = True) -> None:
        """Do nothing; theme changes use another method."""


class NoRestyleContainer(NoRestyle, Container):
    """A container for messages that does not restyle them."""
