"""The list of keys."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from koel_tui.ui.keys import KEYS, PROMPT_KEYS, TAB_COUNT, Key, spoken

_ORDER = ("Prompt", "Conversation", "Tabs", "Program")


class Help(ModalScreen[None]):
    """Shows every key, grouped; `remapped` has the keys in force by binding id."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q,enter", "dismiss", "Leave")]

    def __init__(self, remapped: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self._remapped = remapped

    def compose(self) -> ComposeResult:
        """Yield the list; it scrolls where it does not fit."""
        with VerticalScroll(id="panel"):
            yield Static(key_list(self._remapped))

    def on_mount(self) -> None:
        """Say what the panel is and how to leave it."""
        panel = self.query_one("#panel")
        panel.border_title = "Keys"
        panel.border_subtitle = "esc leaves"


def key_list(remapped: Mapping[str, Sequence[str]]) -> Content:
    """Return the keys as text, grouped, in two columns; of several keys for one thing, two."""
    rows: list[Content] = []
    for group in _ORDER:
        if rows:
            rows.append(Content(""))
        rows.append(Content.styled(group, "bold"))
        for key in (*PROMPT_KEYS, *KEYS):
            if key.group == group and (line := _line(key, remapped)):
                rows.append(line)
    return Content("\n").join(rows)


def _line(key: Key, remapped: Mapping[str, Sequence[str]]) -> Content | None:
    names = " ".join(spoken(remapped.get(key.id, key.names)))
    text = key.help
    if key.id == "tab.1":
        names, text = f"alt+1 … alt+{TAB_COUNT}", "go to that tab"
    elif key.id.startswith("tab.") and key.id[4:].isdigit():
        return None
    return Content.assemble((f"  {names:<17} ", "$text-accent"), text)
