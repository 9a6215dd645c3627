"""Text without any markup, however long it grows."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from koel_tui.ui import richness


class PlainText(Vertical):
    """Text without any markup, cut into pieces so that growth repaints only the last one."""

    def __init__(self, text: str) -> None:
        super().__init__(classes="body")
        self._pieces = list(richness.pieces(text))

    def compose(self) -> ComposeResult:
        """Yield a widget for each piece."""
        yield from (Static(Content(piece)) for piece in self._pieces)

    async def show(self, text: str) -> None:
        """Show a longer text that begins with the one shown."""
        old, self._pieces = self._pieces, list(richness.pieces(text))
        last = len(old) - 1
        if self._pieces[last] != old[last]:
            self.query_children(Static)[last].update(Content(self._pieces[last]))
        await self.mount_all(Static(Content(piece)) for piece in self._pieces[last + 1 :])
