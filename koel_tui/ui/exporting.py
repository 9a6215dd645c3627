"""Choosing what a thread is exported as."""

from collections.abc import Sequence
from dataclasses import dataclass

from koel_tui.storage.exchange import ExportFormat
from koel_tui.ui.picker import Picker, Wording
from koel_tui.ui.saved import has_words


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """A format in the list, and who reads it."""

    form: ExportFormat
    title: str
    aside: str
    takeable: bool = True

    def matches(self, words: Sequence[str]) -> bool:
        """Say whether the format, or the ending of its files, has these words in it."""
        return has_words(f"{self.title} {self.form.suffix}", words)


FORMATS = (
    FormatChoice(ExportFormat.MARKDOWN, "Markdown", "text for people and editors"),
    FormatChoice(ExportFormat.HTML, "HTML", "a page for a browser"),
    FormatChoice(ExportFormat.JSON, "JSON", "all that is known, to be imported again"),
)


class FormatPicker(Picker[FormatChoice]):
    """The formats a thread can be exported as, to choose one."""

    WORDING = Wording("Export as", "Type to find a format", "There is no format", "goes on")
