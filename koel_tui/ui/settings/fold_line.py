"""A line of a form that folds and unfolds the fields below it."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from koel_tui.ui.internals import layout_now


class FoldLine(Static, can_focus=True):
    """Shows the fold state of the fields; enter, space, a click, right and left change it."""

    # Priority, like the panel's keys that move the focus, so that the keys stay in order.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "change", show=False, priority=True),
        Binding("right", "fold(False)", show=False, priority=True),
        Binding("left", "fold(True)", show=False, priority=True),
    ]

    class Toggled(Message):
        """The fields were folded or unfolded."""

    def __init__(self, label: str, fields: int, body: Widget) -> None:
        """`body` contains the fields, `fields` is their number."""
        super().__init__(id="fold")
        self._label = label
        self._fields = fields
        self._body = body
        self._set = 0

    @property
    def unfolded(self) -> bool:
        """True if the fields are shown."""
        return self._body.display

    def fold(self, fold: bool) -> None:
        """Hide or show the fields.

        They are laid out immediately, because the next key may be for one of them and Textual moves
        the focus by position.
        """
        with self.app.batch_update():
            self._body.display = not fold
            layout_now(self)
        self.refresh()

    def count_set(self, fields: int) -> None:
        """Show how many of the fields are set."""
        self._set = fields
        self.refresh()

    @property
    def hint(self) -> str:
        """Help for the keys of this line."""
        if self.unfolded:
            return f"{self._label}: enter, space or left hides them. Their values are kept."
        return f"{self._label}: enter, space or right shows {self._fields} more."

    def render(self) -> Content:
        """Return the line."""
        if self.unfolded:
            return Content(f"▾ {self._label}")
        more = f"{self._fields} more" + (f", {self._set} set" if self._set else "")
        return Content.assemble(f"▸ {self._label} ", (f"· {more}", "$foreground 60%"))

    def action_change(self) -> None:
        """Toggle the fields."""
        self.action_fold(self.unfolded)

    def action_fold(self, fold: bool) -> None:
        """Hide or show the fields."""
        if self.unfolded == fold:
            self.fold(fold)
            self.post_message(self.Toggled())

    def on_click(self, event: events.Click) -> None:
        """Toggle the fields, like enter."""
        event.stop()
        self.action_change()
