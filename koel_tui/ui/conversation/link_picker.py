"""The picker of an answer's links."""

from typing import ClassVar

from textual.binding import BindingType

from koel_tui.ui.conversation.links import MarkdownLink, UnsafeLinkError, validate_url
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.picker import Picker, PickerTexts


class LinkPicker(Picker[SimpleChoice[str]]):
    """Picker of the link to open. Returns its URL."""

    TEXTS = PickerTexts("Links", "Type to find a link", "There is no link", "shows the address")
    BINDINGS: ClassVar[list[BindingType]] = [close_binding("links")]


def link_choice(link: MarkdownLink) -> SimpleChoice[str]:
    """Return the list entry of a link: its text, and its host or why it is not opened."""
    href = link.href
    try:
        host = validate_url(href).host
    except UnsafeLinkError as error:
        return SimpleChoice(href, link.text or href, f"not opened: {error}", href, enabled=False)
    return SimpleChoice(href, link.text or href, host, href)
