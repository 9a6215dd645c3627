"""The base class of panels, which are modal screens over the app."""

from typing import Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Panel(ModalScreen[Answer], Generic[Answer]):
    """A panel that is dismissed once, with an answer or None."""

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Dismiss the panel if it is the active screen.

        Keys can arrive faster than screens change: it may already be dismissed or covered.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete()
