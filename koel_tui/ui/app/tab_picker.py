"""The open tabs to choose from: to go to one, or to show one beside the tab in front."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType

from koel_tui.conversation.conversation import Conversation
from koel_tui.text import has_words
from koel_tui.ui.app.tab_bar import Label
from koel_tui.ui.keys.key_table import leaving
from koel_tui.ui.widgets.picker import Picker, PickerTexts


@dataclass(frozen=True, slots=True)
class TabChoice:
    """An open tab in the list."""

    conversation: Conversation
    label: Label
    number: int
    takeable: bool = True

    @property
    def title(self) -> str:
        """The number of the tab and its title."""
        return f"{self.number} {self.label.title}"

    @property
    def aside(self) -> str:
        """How its thread is."""
        return self.label.mark

    def matches(self, words: Sequence[str]) -> bool:
        """Say whether the title has these words in it, or the only one is the number."""
        return has_words(self.label.title, words) or list(words) == [str(self.number)]


class TabPicker(Picker[TabChoice]):
    """The open tabs, to go to one."""

    WORDING = PickerTexts("Open tabs", "Type to find a tab", "No tab is open", "goes there")
    BINDINGS: ClassVar[list[BindingType]] = [leaving("tab.find")]


class BesidePicker(Picker[TabChoice]):
    """What can be shown beside the tab in front."""

    WORDING = PickerTexts(
        "Side by side", "Type to find a tab", "No other tab is open", "shows it beside this tab"
    )
    BINDINGS: ClassVar[list[BindingType]] = [leaving("tab.beside")]


def besides(tabs: Iterable[tuple[Conversation, Label]], front: Conversation) -> list[TabChoice]:
    """Return what can stand beside the tab in front; that one itself stands for a new thread."""
    new = Label(front.key, "A new thread, with the settings of this one")
    listed = choices(tabs)
    others = [choice for choice in listed if choice.conversation is not front]
    return [TabChoice(front, new, len(listed) + 1), *others]


def choices(tabs: Iterable[tuple[Conversation, Label]]) -> list[TabChoice]:
    """Return the open tabs as they are listed."""
    return [TabChoice(tab, label, number) for number, (tab, label) in enumerate(tabs, 1)]
