"""What the panels of the window list: saved threads, open tabs, links."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType

from koel_tui.ui.conversation import Conversation
from koel_tui.ui.keys import leaving
from koel_tui.ui.picker import Picker, Wording
from koel_tui.ui.saved import SavedThread, has_words
from koel_tui.ui.tabbar import Label


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


@dataclass(frozen=True, slots=True)
class LinkChoice:
    """A link of an answer in the list: its words, and the host it leads to or why it does not."""

    title: str
    aside: str
    href: str
    takeable: bool = True

    def matches(self, words: Sequence[str]) -> bool:
        """Say whether the words of the link, or its address, have these words in them."""
        return has_words(f"{self.title} {self.href}", words)


@dataclass(frozen=True, slots=True)
class QueuedChoice:
    """A text that waits to be sent, in the list."""

    title: str
    aside: str = ""
    takeable: bool = True

    def matches(self, words: Sequence[str]) -> bool:
        """Say whether the text has these words in it."""
        return has_words(self.title, words)


class QueuePicker(Picker[QueuedChoice]):
    """What waits to be sent in a tab, to edit or to drop it."""

    WORDING = Wording(
        "Waiting to be sent", "Type to find one", "Nothing waits", "edits in the prompt, del drops"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        leaving("queue"),
        Binding("delete,ctrl+d", "drop", show=False, priority=True),
    ]

    def __init__(self, conversation: Conversation) -> None:
        super().__init__([QueuedChoice(text) for text in conversation.queue])
        self._conversation = conversation

    def action_drop(self) -> None:
        """Take the highlighted text out of the queue for good."""
        if (choice := self.highlighted) is not None:
            self._conversation.take_back(choice.title)
            self.offer([QueuedChoice(text) for text in self._conversation.queue])


class TrashPicker(Picker[SavedThread]):
    """The threads that were thrown away, to bring one back."""

    WORDING = Wording("Trash", "Type to find a thread", "The trash is empty", "brings it back")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+t", "dismiss", show=False)]


class TabPicker(Picker[TabChoice]):
    """The open tabs, to go to one."""

    WORDING = Wording("Open tabs", "Type to find a tab", "No tab is open", "goes there")
    BINDINGS: ClassVar[list[BindingType]] = [leaving("tab.find")]


class LinkPicker(Picker[LinkChoice]):
    """The links of an answer, to follow one."""

    WORDING = Wording("Links", "Type to find a link", "There is no link", "shows where it leads")
    BINDINGS: ClassVar[list[BindingType]] = [leaving("links")]


class BesidePicker(Picker[TabChoice]):
    """What can be shown beside the tab in front."""

    WORDING = Wording(
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
