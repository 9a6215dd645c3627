"""The only package that uses private parts of Textual, which is pinned; tests cover each use."""

from koel_tui.ui.internals.app_base import AppBase, forget_gone
from koel_tui.ui.internals.key_sequences import (
    begins_others,
    bindings_of,
    character_of,
    keys_by_id,
    name_of_character,
    rebind,
    teach_alt_keys,
)
from koel_tui.ui.internals.layout import (
    SingleLayout,
    draw_tables,
    follows_end,
    lay_out,
    unlaid_list,
)
from koel_tui.ui.internals.line_diff import LineDiff
from koel_tui.ui.internals.output_sanitizer import wear_belt
from koel_tui.ui.internals.tab_strip import bring_into_sight, row_of, underline
from koel_tui.ui.internals.terminal_driver import (
    handed_over,
    outlive_terminal,
    remember_copied,
    take_any_bytes,
    terminal_gone,
    write_to_terminal,
)

__all__ = [
    "AppBase",
    "LineDiff",
    "SingleLayout",
    "begins_others",
    "bindings_of",
    "bring_into_sight",
    "character_of",
    "draw_tables",
    "follows_end",
    "forget_gone",
    "handed_over",
    "keys_by_id",
    "lay_out",
    "name_of_character",
    "outlive_terminal",
    "rebind",
    "remember_copied",
    "row_of",
    "take_any_bytes",
    "teach_alt_keys",
    "terminal_gone",
    "underline",
    "unlaid_list",
    "wear_belt",
    "write_to_terminal",
]
