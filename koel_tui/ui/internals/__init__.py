"""The only package that uses private parts of Textual, which is pinned; tests cover each use."""

from koel_tui.ui.internals.app_base import AppBase, drop_dead_references
from koel_tui.ui.internals.key_sequences import (
    active_keys,
    bindings_for,
    character_of,
    is_sequence_prefix,
    key_of_character,
    rebind,
    register_alt_sequences,
)
from koel_tui.ui.internals.keyboard_layouts import (
    LIGATURES,
    at_position_of,
    latin_key,
    shifted_key,
)
from koel_tui.ui.internals.layout import (
    PaintTimer,
    SingleLayout,
    follows_end,
    ignore_empty_list,
    layout_now,
    paint_seconds,
    redraw_tables,
    share_layout,
)
from koel_tui.ui.internals.output_sanitizer import install_output_sanitizer
from koel_tui.ui.internals.screen_diff import ScreenDiff
from koel_tui.ui.internals.tab_strip import (
    redraw_underline,
    scroll_active_into_view,
    tabs_container,
)
from koel_tui.ui.internals.terminal_driver import (
    is_terminal_gone,
    set_internal_clipboard,
    suspend_app,
    write_to_terminal,
)

__all__ = [
    "LIGATURES",
    "AppBase",
    "PaintTimer",
    "ScreenDiff",
    "SingleLayout",
    "active_keys",
    "at_position_of",
    "bindings_for",
    "character_of",
    "drop_dead_references",
    "follows_end",
    "ignore_empty_list",
    "install_output_sanitizer",
    "is_sequence_prefix",
    "is_terminal_gone",
    "key_of_character",
    "latin_key",
    "layout_now",
    "paint_seconds",
    "rebind",
    "redraw_tables",
    "redraw_underline",
    "register_alt_sequences",
    "scroll_active_into_view",
    "set_internal_clipboard",
    "share_layout",
    "shifted_key",
    "suspend_app",
    "tabs_container",
    "write_to_terminal",
]
