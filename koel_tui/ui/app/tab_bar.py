"""The tab bar, and the label of a conversation in it."""

from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Tab, Tabs

from koel_tui.conversation.conversation import Conversation
from koel_tui.formatting import cut_at_word
from koel_tui.limits import MAX_TAB_TITLE
from koel_tui.text import safe_line
from koel_tui.ui import internals

_MIN_TITLE = 8
MAX_MOUNTED = 40
"""Maximum number of tabs with a widget; more than fit into any terminal with readable titles."""


@dataclass(frozen=True, slots=True)
class Label:
    """The contents of a tab: thread title and a short status mark."""

    id: str
    title: str
    mark: str = ""

    @property
    def name(self) -> str:
        """The title and the mark, as a heading."""
        return f"{self.title} {self.mark}"

    def text(self, number: int, room: int) -> str:
        """Return the sanitized label on one line of about `room` cells."""
        mark = f" {self.mark}" if self.mark else ""
        head = f"{number} "
        width = room - cell_len(head) - cell_len(mark)
        title = cut_at_word(safe_line(self.title), min(MAX_TAB_TITLE, max(_MIN_TITLE, width)))
        return head + title + mark


def tab_label(conversation: Conversation, unread: bool) -> Label:
    """Return the label of a conversation's tab."""
    if conversation.is_busy:
        waiting = len(conversation.queue)
        mark = conversation.activity.tab_text + (f" +{waiting}" if waiting else "")
    elif conversation.save_problem:
        mark = "not saved"
    elif conversation.has_failed:
        mark = "✗"
    else:
        mark = "●" if unread else ""
    return Label(conversation.key, conversation.title, mark)


def mounted_range(count: int, active: int) -> range:
    """Return the indexes of the tabs that have widgets: those near the active one."""
    half = MAX_MOUNTED // 2
    start = max(0, min(active // half * half - half // 2, count - MAX_MOUNTED))
    return range(start, min(count, start + MAX_MOUNTED))


class TabBar(Tabs, can_focus=False):
    """Shows one tab per label; the prompt keeps the keyboard focus."""

    @dataclass
    class Selected(Message):
        """The user clicked the tab with this id."""

        tab_id: str

    def __init__(self, label: Label) -> None:
        super().__init__(Tab(Content(label.text(1, MAX_TAB_TITLE)), id=label.id))
        self._labels = [label]
        self._first = 1

    def on_tab_clicked(self, event: Tab.Clicked) -> None:
        """Post which tab was clicked.

        Textual's own message is also posted for our changes, and a repaint may reset the active
        tab before that message is handled.
        """
        if event.tab.id is not None:
            self.post_message(self.Selected(event.tab.id))

    async def show_labels(self, labels: list[Label], active: str, first: int = 1) -> None:
        """Show these tabs, with `active` in front; only changed tabs are updated.

        `first` is the number of the first one.
        """
        shown = [label.id for label in self._labels]
        wanted = [label.id for label in labels]
        moved = self.active != active or shown != wanted
        self._labels, self._first = labels, first
        with self.app.batch_update():
            # Mounting 30 tabs one after the other takes twice as long as one call with their texts.
            texts = self._label_texts()
            if new := [each for each in wanted if each not in shown]:
                await internals.tabs_container(self).mount_all(
                    Tab(texts[each], id=each) for each in new
                )
            self._reorder()
            if self.active != active:
                self.active = active
            for gone in set(shown).difference(wanted):
                await self.remove_tab(gone)
            changed = self._write_labels()
        if moved:
            self.call_after_refresh(internals.scroll_active_into_view, self)
        if moved or changed:
            self.call_after_refresh(internals.redraw_underline, self)

    def _reorder(self) -> None:
        tabs = [tab for label in self._labels if (tab := self.get_tab(label.id)) is not None]
        row = internals.tabs_container(self)
        if [tab for tab in row.children if tab in tabs] != tabs:
            for before, tab in pairwise(tabs):
                row.move_child(tab, after=before)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the titles to the new width."""
        changed = self._write_labels()
        self.call_after_refresh(internals.scroll_active_into_view, self)
        if changed:
            self.call_after_refresh(internals.redraw_underline, self)

    def _write_labels(self) -> bool:
        """Update the labels that changed; return whether any did."""
        changed = False
        for tab_id, text in self._label_texts().items():
            tab = self.get_tab(tab_id)
            if tab is not None and tab.label_text != text.plain:
                tab.label = text
                changed = True
        return changed

    def _label_texts(self) -> dict[str, Content]:
        room = self.size.width // len(self._labels) - 2  # one cell of padding on each side
        numbered = enumerate(self._labels, self._first)
        return {label.id: Content(label.text(number, room)) for number, label in numbered}
