"""A line of a form that shows and hides the fields below it."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from koel_tui.ui.internals import lay_out


class FoldLine(Static, can_focus=True):
    """Shows whether the fields below are shown; enter, space, a click, right and left change it."""

    # Priority as for the keys of the panel that move the focus: these must not overtake them.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "change", show=False, priority=True),
        Binding("right", "fold(False)", show=False, priority=True),
        Binding("left", "fold(True)", show=False, priority=True),
    ]

    class Toggled(Message):
        """The fields are shown or hidden now."""

    def __init__(self, label: str, fields: int, body: Widget) -> None:
        """Make the line; `body` contains the fields, `fields` is how many there are."""
        super().__init__(id="fold")
        self._label = label
        self._fields = fields
        self._body = body
        self._set = 0

    @property
    def unfolded(self) -> bool:
        """Whether the fields are shown."""
        return self._body.display

    def fold(self, fold: bool) -> None:
        """Hide the fields, or show them.

        They have their places at once: the next key may be for one of them, and Textual moves the
        focus by place.
        """
        with self.app.batch_update():
            self._body.display = not fold
            lay_out(self)
        self.refresh()

    def count_set(self, fields: int) -> None:
        """Show how many of the fields are set."""
        self._set = fields
        self.refresh()

    @property
    def hint(self) -> str:
        """What the keys do here."""
        if self.unfolded:
            return f"{self._label}: enter, space or left hides them. Those that are set stay set."
        return f"{self._label}: enter, space or right shows {self._fields} more."

    def render(self) -> Content:
        """Return the line."""
        if self.unfolded:
            return Content(f"▾ {self._label}")
        more = f"{self._fields} more" + (f", {self._set} set" if self._set else "")
        return Content.assemble(f"▸ {self._label} ", (f"· {more}", "$foreground 60%"))

    def action_change(self) -> None:
        """Show the fields, or hide them."""
        self.action_fold(self.unfolded)

    def action_fold(self, fold: bool) -> None:
        """Hide the fields, or show them."""
        if self.unfolded == fold:
            self.fold(fold)
            self.post_message(self.Toggled())

    def on_click(self, event: events.Click) -> None:
        """Do what enter does."""
        event.stop()
        self.action_change()
