"""The links of an answer, to choose from."""

from typing import ClassVar

from textual.binding import BindingType

from koel_tui.ui.conversation.links import Mention, RefusedLink, checked
from koel_tui.ui.keys.key_table import leaving
from koel_tui.ui.widgets.choice import Named
from koel_tui.ui.widgets.picker import Picker, Wording


class LinkPicker(Picker[Named[str]]):
    """The links of an answer, to follow one. Returns where it leads."""

    WORDING = Wording("Links", "Type to find a link", "There is no link", "shows where it leads")
    BINDINGS: ClassVar[list[BindingType]] = [leaving("links")]


def choice_of(mention: Mention) -> Named[str]:
    """Return the line of a link: its words, and the host it leads to or why it is not opened."""
    href = mention.href
    try:
        host = checked(href).host
    except RefusedLink as refused:
        return Named(href, mention.words or href, f"not opened: {refused}", href, takeable=False)
    return Named(href, mention.words or href, host, href)
