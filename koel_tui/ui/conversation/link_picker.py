"""The links of an answer, to choose from."""

from typing import ClassVar

from textual.binding import BindingType

from koel_tui.ui.conversation.links import MarkdownLink, UnsafeLinkError, checked
from koel_tui.ui.keys.key_table import leaving
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.picker import Picker, PickerTexts


class LinkPicker(Picker[SimpleChoice[str]]):
    """The links of an answer, to follow one. Returns where it leads."""

    WORDING = PickerTexts(
        "Links", "Type to find a link", "There is no link", "shows where it leads"
    )
    BINDINGS: ClassVar[list[BindingType]] = [leaving("links")]


def choice_of(mention: MarkdownLink) -> SimpleChoice[str]:
    """Return the line of a link: its words, and the host it leads to or why it is not opened."""
    href = mention.href
    try:
        host = checked(href).host
    except UnsafeLinkError as refused:
        return SimpleChoice(
            href, mention.words or href, f"not opened: {refused}", href, takeable=False
        )
    return SimpleChoice(href, mention.words or href, host, href)
