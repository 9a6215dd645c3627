"""The picker of export formats."""

from koel_tui.storage.interchange import ExportFormat
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.picker import Picker, PickerTexts

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
