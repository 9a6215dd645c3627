"""The observer of conversations."""

from typing import Protocol, TypeVar

C = TypeVar("C", contravariant=True)
"""The type of a conversation."""


class ConversationObserver(Protocol[C]):
    """Observer of conversations: the window or the line mode."""

    def changed(self, conversation: C) -> None:
        """Repaint: something that is shown has changed."""
        ...

    def ended(self, conversation: C) -> None:
        """Handle the end of a run, however it ended."""
        ...

    def returned(self, conversation: C, text: str) -> None:
        """Give unsent text back to the user."""
        ...

    def lost(self, conversation: C) -> None:
        """Report that the last state of a closed conversation could not be saved."""
        ...
