"""The observer protocol for conversations."""

from typing import Protocol, TypeVar

C = TypeVar("C", contravariant=True)
"""The type of a conversation."""


class ConversationObserver(Protocol[C]):
    """An observer of conversations: the app or the plain mode."""

    def on_conversation_changed(self, conversation: C) -> None:
        """Repaint, because visible state has changed."""
        ...

    def on_run_ended(self, conversation: C) -> None:
        """Handle the end of a run, whether it succeeded or failed."""
        ...

    def on_text_returned(self, conversation: C, text: str) -> None:
        """Return unsent text to the user."""
        ...

    def on_save_failed(self, conversation: C) -> None:
        """Report that a closed conversation could not be saved."""
        ...
