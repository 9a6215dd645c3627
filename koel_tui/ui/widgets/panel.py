"""What is shown over the window until it is left."""

from typing import Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Panel(ModalScreen[Answer], Generic[Answer]):
    """A panel that is left once, with an answer or None."""

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Leave, if this is what is in front.

        Keys come faster than panels: it may have been left, or another stands over it by now.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete()
