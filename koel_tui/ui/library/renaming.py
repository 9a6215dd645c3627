"""The panel that renames a thread."""

from textual import on
from textual.widgets import Input

from koel_tui.text import safe_line
from koel_tui.ui.widgets.input_panel import InputPanel
from koel_tui.ui.widgets.ordered_input import OrderedInput


class RenamePanel(InputPanel[str]):
    """Asks for a title that is not blank. Returns the title, or None."""

    def __init__(self, title: str) -> None:
        """`title` is the current title."""
        field = OrderedInput(safe_line(title), placeholder="Title", id="title", compact=True)
        super().__init__("Rename", "saves", field)

    @on(Input.Submitted)
    def _submit_title(self) -> None:
        title = self._field.value.strip()
        if not title:
            self._show_problem("The title is empty. Type at least one character.")
        else:
            self.dismiss(title)
