"""The panel with all key bindings."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from koel_tui.system.option_key import option_key_advice
from koel_tui.ui.internals import at_position_of
from koel_tui.ui.keys.hints import key_of
from koel_tui.ui.keys.key_table import ALL_KEYS, TAB_COUNT, close_binding, display_names
from koel_tui.ui.widgets.panel import Panel

_KEY_WIDTH = 17
"""Width of the key column in cells."""
_ORDER = ("Prompt", "Conversation", "Tabs", "Program")
_TAB_KEYS = [f"tab.{number}" for number in range(1, TAB_COUNT + 1)]


class HelpPanel(Panel[None]):
    """Shows every key, grouped; `active_keys` maps binding ids to keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(f"escape,{at_position_of('q')},enter", "dismiss", "Close"),
        close_binding("help"),
    ]

    def __init__(self, active_keys: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self._active_keys = active_keys

    def compose(self) -> ComposeResult:
        """Yield the scrollable list."""
        with VerticalScroll(id="panel"):
            if advice := option_key_advice(os.environ, sys.platform):
                palette_key = key_of(self.app, "palette")
                yield Static(Content(f"{advice} {palette_key} lists all commands.\n"))
            yield Static(key_list(self._active_keys))
            yield Static(_mouse_help())

    def on_mount(self) -> None:
        """Set the title and the closing hint."""
        panel = self.query_one("#panel")
        panel.border_title = "Keys"
        panel.border_subtitle = "esc closes"


def key_list(active_keys: Mapping[str, Sequence[str]]) -> Content:
    """Return the keys as grouped text in two columns, at most two keys per action."""
    rows: list[Content] = []
    by_number = _tab_key_range(active_keys)
    for group in _ORDER:
        if rows:
            rows.append(Content(""))
        rows.append(Content.styled(group, "bold"))
        for key in ALL_KEYS:
            if key.group != group or (by_number and key.id in _TAB_KEYS[1:]):
                continue
            if by_number and key.id == _TAB_KEYS[0]:
                rows.append(_row(by_number, "go to the tab with this number"))
            else:
                names = display_names(active_keys.get(key.id, ()))
                both = " ".join(names)
                rows.append(_row(both if len(both) <= _KEY_WIDTH else names[0], key.help))
    return Content("\n").join(rows)


def _mouse_help() -> Content:
    """Return the rows about selecting text."""
    rows = (
        Content(""),
        Content.styled("Mouse", "bold"),
        _row("drag", "select text; ctrl+c copies it"),
        _row("shift+drag", "the selection of the terminal"),
        _row("", "(iTerm2: option, Terminal of macOS: fn)", no_key=""),
    )
    return Content("\n").join(rows)


def _tab_key_range(active_keys: Mapping[str, Sequence[str]]) -> str:
    """Return the tab keys as one range if they differ only by the number, else an empty string."""
    prefixes = {
        name.removesuffix(str(number)) if name.endswith(str(number)) else ""
        for number, tab in enumerate(_TAB_KEYS, 1)
        for name in active_keys.get(tab, ("",))
    }
    if len(prefixes) > 1 or "" in prefixes:
        return ""
    (prefix,) = prefixes
    return f"{prefix}1 … {prefix}{TAB_COUNT}"


def _row(names: str, text: str, *, no_key: str = "no key") -> Content:
    return Content.assemble((f"  {names or no_key:<{_KEY_WIDTH}} ", "$text-accent"), text)
