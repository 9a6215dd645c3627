"""The reference: the smallest Textual program with the widgets of a chat window."""

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Footer, Markdown, Tab, Tabs, TextArea


class MinimalChat(App[None]):
    """An app with tabs, Markdown, a text area and a footer, without any behaviour."""

    BINDINGS = [("ctrl+q", "quit", "Quit")]  # noqa: RUF012 - as Textual's own examples have it

    def compose(self) -> ComposeResult:
        """Yield the widgets."""
        yield Tabs(Tab("1 New thread"))
        with VerticalScroll():
            yield Markdown("Ask anything.")
        yield TextArea()
        yield Footer()


if __name__ == "__main__":
    MinimalChat().run()
