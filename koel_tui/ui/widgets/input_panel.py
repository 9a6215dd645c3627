"""A panel with one input field, dismissed when the input is valid."""

from collections.abc import Iterable
from typing import ClassVar, Generic

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from koel_tui.text import safe_line
from koel_tui.ui.widgets.panel import Answer, Panel


class InputPanel(Panel[Answer], Generic[Answer]):
    """A panel that asks until the input is valid. Returns the answer, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Cancel")]

    def __init__(self, heading: str, submit_label: str, field: Input) -> None:
        """`submit_label` describes the action of enter, for the key hint."""
        super().__init__()
        self._heading = heading
        self._submit_label = submit_label
        self._field = field
        self._problem = Static(id="problem")

    def compose(self) -> ComposeResult:
        """Yield the panel and its content."""
        with Vertical(id="panel") as panel:
            panel.border_title = self._heading
            panel.border_subtitle = f"enter {self._submit_label} · esc cancels"
            yield from self.parts()

    def parts(self) -> Iterable[Widget]:
        """Return the field and the line for its error message."""
        return self._field, self._problem

    def _show_problem(self, problem: str) -> None:
        self._problem.update(Content.styled(safe_line(problem, 400), "$text-error"))
