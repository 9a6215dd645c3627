"""A foldable block of a transcript: a headline, and the text while unfolded."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from koel_tui.conversation.entries import Entry
from koel_tui.text import safe_line, safe_text
from koel_tui.ui.transcript.plain_text import PlainText

_MAX_HEADLINE = 400


class FoldedView(Vertical):
    """Shows an entry; its note is the headline, and its text is empty while folded."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(classes=f"message fold -{entry.role}")
        self.entry = entry

    @property
    def cost(self) -> int:
        """The approximate number of widgets."""
        return estimate_cost(self.entry)

    def compose(self) -> ComposeResult:
        """Yield the headline and, if unfolded, the text."""
        yield Static(_headline(self.entry), classes="headline")
        if self.entry.text:
            yield PlainText(safe_text(self.entry.text), classes="body")

    async def show(self, entry: Entry) -> None:
        """Update the view to a later state of the same block."""
        before, self.entry = self.entry, entry
        headline = self.query_one_optional(".headline", Static)
        if entry == before or headline is None:
            return
        headline.update(_headline(entry))
        if entry.text == before.text:
            return
        body = self.query_one_optional(PlainText)
        if body is not None and before.text and entry.text.startswith(before.text):
            body.show(safe_text(entry.text))
            return
        if body is not None:
            await body.remove()
        if entry.text:
            await self.mount(PlainText(safe_text(entry.text), classes="body"))


def estimate_cost(entry: Entry) -> int:
    """Estimate the number of widgets of a block before any is created."""
    return 3 if entry.text else 2


def _headline(entry: Entry) -> Content:
    mark = "▾" if entry.text else "▸"
    return Content(f"{mark} {safe_line(entry.label, _MAX_HEADLINE)}")
