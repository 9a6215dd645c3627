"""Pickers of open tabs: one to activate a tab, one to show a tab side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType

from koel_tui.conversation.conversation import Conversation
from koel_tui.text import has_words
from koel_tui.ui.app.tab_bar import Label
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.widgets.picker import Picker, PickerTexts


@dataclass(frozen=True, slots=True)
class TabChoice:
    """An open tab in the list."""

    conversation: Conversation
    label: Label
    number: int
    enabled: bool = True

    @property
    def title(self) -> str:
        """The tab's number and title."""
        return f"{self.number} {self.label.title}"

    @property
    def detail(self) -> str:
        """The state of its thread."""
        return self.label.mark

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether the title contains these words, or the only word is the tab's number."""
        return has_words(self.label.title, words) or list(words) == [str(self.number)]


class TabPicker(Picker[TabChoice]):
    """Picker of the tab to activate."""

    TEXTS = PickerTexts("Open tabs", "Type to find a tab", "No tab is open", "goes to the tab")
    BINDINGS: ClassVar[list[BindingType]] = [close_binding("tab.find")]


class PairPicker(Picker[TabChoice]):
    """Picker of the tab to show next to the active one."""

    TEXTS = PickerTexts(
        "Side by side", "Type to find a tab", "No other tab is open", "shows it side by side"
    )
    BINDINGS: ClassVar[list[BindingType]] = [close_binding("tab.beside")]


def pair_choices(
    tabs: Iterable[tuple[Conversation, Label]], front: Conversation
) -> list[TabChoice]:
    """Return the choices for the second tab; the active tab's entry means a new thread."""
    new = Label(front.key, "A new thread, with the settings of this one")
    listed = choices(tabs)
    others = [choice for choice in listed if choice.conversation is not front]
    return [TabChoice(front, new, len(listed) + 1), *others]


def choices(tabs: Iterable[tuple[Conversation, Label]]) -> list[TabChoice]:
    """Return the choices for all open tabs."""
    return [TabChoice(tab, label, number) for number, (tab, label) in enumerate(tabs, 1)]
