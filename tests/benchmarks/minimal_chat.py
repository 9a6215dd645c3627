"""The reference: the least Textual program that has what a chat window has."""

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Footer, Markdown, Tab, Tabs, TextArea


class MinimalChat(App[None]):
    """Tabs, Markdown, a text area, a footer; nothing works."""

    BINDINGS = [("ctrl+q", "quit", "Quit")]  # noqa: RUF012 - as Textual's own examples have it

    def compose(self) -> ComposeResult:
        """Yield the parts."""
        yield Tabs(Tab("1 New thread"))
        with VerticalScroll():
            yield Markdown("Ask anything.")
        yield TextArea()
        yield Footer()


if __name__ == "__main__":
    MinimalChat().run()
