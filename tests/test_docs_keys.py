"""Consistency of the key tables in the docs with the keys of the program."""

import re
from typing import Any

import pytest
from textual.binding import Binding, BindingsMap
from textual.widgets import TextArea

from koel_tui.ui.app.help_panel import HelpPanel
from koel_tui.ui.conversation.link_panels import LinkDialog
from koel_tui.ui.conversation.queue_picker import QueuePicker
from koel_tui.ui.conversation.stats_panel import StatsPanel
from koel_tui.ui.keys.key_table import ALL_KEYS, CLOSE_PREFIX, Key
from koel_tui.ui.keys.keymap import PANEL_KEYS, key_name
from koel_tui.ui.library.dialogs import TrashPicker
from koel_tui.ui.library.library_panel import LibraryPanel
from koel_tui.ui.models.model_panel import ModelPanel
from koel_tui.ui.settings.fold_line import FoldLine
from koel_tui.ui.settings.thread_settings_panel import SystemPromptPicker, ThreadPanel
from koel_tui.ui.widgets.confirm_panel import ConfirmPanel
from koel_tui.ui.widgets.picker import Picker
from tests.docs_pages import PAGES, README, USER_TEXT, code_in, own_section, section, table

OWN = {key.id: key for key in ALL_KEYS}
KEY_NAME = re.compile(r"(?<![\w+])((?:ctrl|alt|shift)\+[\w+]+|f\d{1,2})(?![\w+])")
"""The name of a key in text."""
GROUPS = ("Writing", "Conversation", "Tabs and threads", "Program")
ROWS = [row for title in GROUPS for row in table(own_section(PAGES["keys"], title))]


def keys_in(cell: str) -> list[str]:
    """Return the names of the keys in a cell of a table."""
    if "…" in cell:
        first, last = (part.strip() for part in cell.split("…"))
        return [f"{first[:-1]}{number}" for number in range(int(first[-1]), int(last[-1]) + 1)]
    return ["at" if each.strip() == "@" else name_of(each.strip()) for each in cell.split(",")]


def name_of(key: str) -> str:
    """Return Textual's name of a key; keys that type text are not in the keymap."""
    return key if len(key) == 1 or key in ("at", "space") else key_name(key)


def test_the_tables_of_keys_have_exactly_the_keys_of_the_program() -> None:
    said: dict[str, list[str]] = {}
    for keys, _, names in ROWS:
        ids = code_in(names)
        if "…" in names:
            first, last = (int(each.rpartition(".")[2]) for each in ids)
            ids = [f"tab.{number}" for number in range(first, last + 1)]
            said |= {each: [key] for each, key in zip(ids, keys_in(keys), strict=True)}
        else:
            (name,) = ids
            said[name] = keys_in(keys)
    assert said == {key.id: [*map(name_of, key.names)] for key in OWN.values()}


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_row_of_the_key_table_describes_its_action(row: list[str]) -> None:
    key = OWN[code_in(row[2])[0]]
    assert {*re.findall(r"\w{3,}", row[1].lower())} & _telling(key), key.help


def test_the_keys_in_the_readme_are_those_of_the_program() -> None:
    by_key = {name: key for key in OWN.values() for name in key.names}
    for keys, text in table(section(README, "The most used keys")):
        for name in keys_in(keys):
            assert {*re.findall(r"\w{3,}", text.lower())} & _telling(by_key[name]), name


def _telling(key: Key) -> set[str]:
    """Return the words that identify the help text of a key."""
    return {*re.findall(r"\w{3,}", key.help.lower())} - {"the", "and", "your", "what", "that"}


PANELS: dict[str, tuple[type[Any], ...]] = {
    "any list": (Picker,),
    "saved threads": (LibraryPanel,),
    "trash": (TrashPicker,),
    "queued messages": (QueuePicker,),
    "models": (ModelPanel,),
    "thread settings": (ThreadPanel,),
    '"All samplers"': (FoldLine,),
    "system prompts": (SystemPromptPicker,),
    "link": (LinkDialog,),
    "question": (ConfirmPanel,),
    "keys, statistics": (HelpPanel, StatsPanel),
}


def test_the_keys_of_panels_are_those_of_the_program() -> None:
    rows = table(section(PAGES["keys"], "In lists and panels"))
    assert {panel for panel, _, _ in rows} == {*PANELS}
    for panel, kinds in PANELS.items():
        said = {key for name, keys, _ in rows if name == panel for key in keys_in(keys)}
        for kind in kinds:
            assert said == _keys_of(kind), panel


def _keys_of(panel: type[Any]) -> set[str]:
    """Return the keys of a panel, without esc and the key that opened it.

    The equivalent keys of other keyboard layouts are left out.
    """
    found = set()
    for each in vars(panel)["BINDINGS"]:
        assert isinstance(each, Binding)
        if not (each.id or "").startswith(CLOSE_PREFIX):
            found |= {*map(name_of, each.key.split(","))}
    return {key for key in found if key.isascii()} - {"escape"}


def test_keys_in_the_text_exist() -> None:
    # Code is skipped: its keys are examples that a user may choose.
    text = re.sub(r"```.*?```|`\"[^`]+`", "", USER_TEXT, flags=re.DOTALL)
    named = {key_name(name) for name in KEY_NAME.findall(text)}
    known = {name for key in OWN.values() for name in key.names}
    panels = {key for kinds in PANELS.values() for kind in kinds for key in _keys_of(kind)}
    opened = {name for keys in PANEL_KEYS.values() for name in keys}
    editing = {key for key, _ in BindingsMap(TextArea.BINDINGS)}
    assert named - known - panels - opened - editing == set()
