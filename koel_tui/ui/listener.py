"""Who hears what happens in conversations: the window, or the plain mode."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from koel_tui.ui.conversation import Conversation


class Listener(Protocol):
    """Who hears what happens in a conversation."""

    def changed(self, conversation: "Conversation") -> None:
        """Something to show is different."""
        ...

    def ended(self, conversation: "Conversation") -> None:
        """A run is over, however it ended."""
        ...

    def returned(self, conversation: "Conversation", text: str) -> None:
        """Text that waited to be sent will not be: it belongs to the user again."""
        ...

    def notice(self) -> str:
        """Return what is wrong for all conversations alike; empty when nothing is."""
        ...

    def fitting_template(self) -> str:
        """Return the built-in chat template that fits the program's model, '' when none does."""
        ...

    def lost(self, conversation: "Conversation") -> None:
        """The conversation is closed, and its last words could not be saved."""
        ...
