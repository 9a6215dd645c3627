"""The dialogs of the library: the export format, the new title, the thread to restore."""

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Input

from koel_tui.storage.interchange import ExportFormat
from koel_tui.text import safe_line
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.input_panel import InputPanel
from koel_tui.ui.widgets.ordered_input import OrderedInput
from koel_tui.ui.widgets.picker import Picker, PickerTexts
from koel_tui.workspace.saved_threads import SavedThread

FORMATS = tuple(
    SimpleChoice(form, title, readers, form.suffix)
    for form, title, readers in (
        (ExportFormat.MARKDOWN, "Markdown", "text, for reading and editing"),
        (ExportFormat.HTML, "HTML", "a page for the browser"),
        (ExportFormat.JSON, "JSON", "everything; can be imported again"),
    )
)


class FormatPicker(Picker[SimpleChoice[ExportFormat]]):
    """Picker of the format in which a thread is exported."""

    TEXTS = PickerTexts("Export as", "Type to find a format", "There is no format", "selects")


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


class TrashPicker(Picker[SavedThread]):
    """The threads in the trash, to restore one."""

    TEXTS = PickerTexts("Trash", "Type to find a thread", "The trash is empty", "restores it")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+t", "dismiss", show=False)]
