"""A confirmation dialog, answered by enter or esc."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from koel_tui.text import safe_text
from koel_tui.ui.widgets.panel import Panel


class ConfirmPanel(Panel[bool]):
    """A panel that asks for confirmation. Returns True if confirmed, else None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "agree", "Yes"),
        Binding("escape", "dismiss", "No"),
    ]

    def __init__(self, title: str, text: str, submit_label: str) -> None:
        """`submit_label` describes the action of enter, for the key hint."""
        super().__init__()
        self._title = title
        self._text = text
        self._submit_label = submit_label

    def compose(self) -> ComposeResult:
        """Yield the question, which scrolls if it does not fit."""
        with VerticalScroll(id="panel"):
            yield Static(Content(safe_text(self._text)))

    def on_mount(self) -> None:
        """Set the title and the key hints."""
        panel = self.query_one("#panel")
        panel.border_title = self._title
        panel.border_subtitle = f"enter {self._submit_label} · esc cancels"

    def action_agree(self) -> None:
        """Dismiss the panel with True."""
        self.dismiss(True)
