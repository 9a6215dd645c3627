"""The list of saved threads, to open one."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from koel_tui.text import safe_line
from koel_tui.ui.cells import fit
from koel_tui.ui.inside import unlaid_list
from koel_tui.ui.saved import SavedThread

_MOST_SHOWN = 200
_FRAME = 6
"""Lines of the panel that are not the list, and two beside it."""


class Picker(ModalScreen[SavedThread]):
    """Shows saved threads; typing narrows the list. Returns the one chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+o", "dismiss", "Leave"),
        Binding("up", "list('cursor_up')", show=False),
        Binding("down", "list('cursor_down')", show=False),
        Binding("pageup", "list('page_up')", show=False),
        Binding("pagedown", "list('page_down')", show=False),
    ]

    def __init__(self, threads: Sequence[SavedThread]) -> None:
        super().__init__()
        self._threads = threads
        self._shown: list[SavedThread] = []
        self._find = Input(placeholder="Type to find a thread", id="find", compact=True)
        self._list = OptionList(id="threads", compact=True)
        self._panel = Vertical(self._find, self._list, id="panel")

    def compose(self) -> ComposeResult:
        """Yield the field to type in, the list, and how to leave."""
        yield self._panel

    def on_mount(self) -> None:
        """Say what the panel is."""
        self._panel.border_title = "Saved threads"

    def on_resize(self, event: events.Resize) -> None:
        """Lay the list out for the width there now is."""
        self.call_after_refresh(self._fill)

    @on(Input.Changed)
    def _narrow(self) -> None:
        self._fill()

    @on(Input.Submitted)
    def _take_highlighted(self) -> None:
        self._list.action_select()

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        if self.is_current:  # a key pressed right before may have left already
            self.dismiss(self._shown[event.option_index])

    async def action_list(self, action: str) -> None:
        """Do something in the list while the field keeps the focus."""
        with unlaid_list():
            await self._list.run_action(action)

    def _fill(self) -> None:
        words = self._find.value.casefold().split()
        found = [thread for thread in self._threads if thread.matches(words)]
        self._shown = found[:_MOST_SHOWN]
        threads = self._list
        threads.styles.max_height = max(1, self.size.height - _FRAME)
        width = threads.scrollable_content_region.width
        threads.clear_options()
        threads.add_options(
            Option(_line(thread, width), disabled=bool(thread.damage)) for thread in self._shown
        )
        threads.action_first()
        self._panel.border_subtitle = self._hint(len(found))

    def _hint(self, found: int) -> str:
        if not self._threads:
            return "Nothing is saved yet · esc leaves"
        if not found:
            return "No title has these words · esc leaves"
        more = f"{found - _MOST_SHOWN} more, type to narrow · " if found > _MOST_SHOWN else ""
        return f"{more}enter opens · esc leaves"


def _line(thread: SavedThread, width: int) -> Content:
    aside = f"damaged: {thread.damage}" if thread.damage else _figures(thread)
    aside = fit(safe_line(aside), max(0, width - 12))
    title = fit(safe_line(thread.title) or "(no title)", max(4, width - cell_len(aside) - 2))
    gap = " " * max(2, width - cell_len(title) - cell_len(aside))
    return Content.assemble(title, gap, (aside, "$foreground 60%"))


def _figures(thread: SavedThread) -> str:
    return f"{thread.messages} message{'' if thread.messages == 1 else 's'} · {thread.when}"
