"""Asking for the title of a thread."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from koel_tui.text import safe_line


class TitlePanel(ModalScreen[str]):
    """Asks for a title until there is one. Returns it, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Leave")]

    def __init__(self, title: str) -> None:
        """Make the panel; `title` is the one there is."""
        super().__init__()
        self._field = Input(safe_line(title), placeholder="Title", id="title", compact=True)
        self._problem = Static(id="problem")
        self._panel = Vertical(self._field, self._problem, id="panel")

    def compose(self) -> ComposeResult:
        """Yield the field for the title, and what is wrong with it."""
        yield self._panel

    def on_mount(self) -> None:
        """Say what the panel is and how to leave it."""
        self._panel.border_title = "Rename"
        self._panel.border_subtitle = "enter saves · esc leaves"

    @on(Input.Submitted)
    def _take(self) -> None:
        title = self._field.value.strip()
        if not title:
            problem = "A title needs at least one letter."
            self._problem.update(Content.styled(problem, "$text-error"))
        elif self.is_current:
            self.dismiss(title)
