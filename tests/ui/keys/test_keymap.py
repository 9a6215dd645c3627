"""Tests of the user's keymap: valid keys, refused keys, and their use in the window."""

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from koel_tui.settings import SettingsError
from koel_tui.ui import internals
from koel_tui.ui.app.help_panel import HelpPanel
from koel_tui.ui.app.tab_picker import PairPicker, TabPicker
from koel_tui.ui.conversation.code_picker import CodePicker
from koel_tui.ui.conversation.link_picker import LinkPicker
from koel_tui.ui.conversation.queue_picker import QueuePicker
from koel_tui.ui.conversation.stats_panel import StatsPanel
from koel_tui.ui.keys.key_table import ALL_KEYS, CLOSE_PREFIX, KEYS
from koel_tui.ui.keys.keymap import PANEL_KEYS, key_name, parse_keymap
from koel_tui.ui.library.library_panel import LibraryPanel
from koel_tui.ui.settings.thread_settings_panel import ThreadPanel
from koel_tui.ui.widgets.picker import Picker
from koel_tui.ui.widgets.save_as_panel import SaveAsPanel
from tests.hostile_summary import Tally
from tests.ui.composer.test_prompt import keys_of
from tests.ui.window import opened


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ctrl+y", "ctrl+y"),
        (" Ctrl+Y ", "ctrl+y"),
        ("shift+alt+k", "alt+shift+k"),
        ("pgup", "pageup"),
        ("ctrl+pgdn", "ctrl+pagedown"),
        ("esc", "escape"),
        ("F7", "f7"),
        ("alt+,", "alt+comma"),
        ("ctrl++", "ctrl+plus"),
        ("ctrl+@", "ctrl+@"),
        ("tab", "tab"),
    ],
)
def test_a_key_is_accepted_by_its_common_names(written: str, name: str) -> None:
    assert key_name(written) == name


def test_the_keys_of_the_window_have_the_names_that_are_asked_for() -> None:
    for key in ALL_KEYS:
        assert key.fixed or [key_name(name) for name in key.names] == key.names


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("ctlr+y", "not a key that terminals send"),
        ("f99", "not a key that terminals send"),
        ("ctrl+", "not a key that terminals send"),
        ("q", "types a character"),
        ("shift+q", "types a character"),
        ("space", "types a character"),
        ("+", "types a character"),
        ("ctrl+m", "as enter"),
        ("alt+[", "begins the sequences of other keys"),
        ("alt+shift+o", "begins the sequences of other keys"),
    ],
)
def test_an_invalid_key_is_refused(written: str, why: str, tally: Tally) -> None:
    with pytest.raises(ValueError, match=why):
        key_name(written)
    tally("bad configuration", tried=1)


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ({"tab.nwe": "ctrl+y"}, "'keys.tab.nwe'.*Similar names: tab.new"),
        ({"zzz": "ctrl+y"}, "'keys.zzz': Unknown key binding. "),
        ({"tab.new": "ctlr+y"}, "'keys.tab.new': 'ctlr.y' is not a key"),
        ({"tab.new": "ctrl+y,,f8"}, "A key is empty"),
        ({"tab.new": "ctrl+o"}, "'keys.tab.new': ctrl.o is also a key of 'tab.open'"),
        ({"tab.new": "enter"}, "'keys.tab.new': enter is also a key of 'prompt.send'"),
        ({"tab.new": "f8", "fold": "f8"}, "'keys.fold': f8 is also a key of 'tab.new'"),
        ({"tab.open": "ctrl+d"}, "'keys.tab.open': ctrl.d has another function in the panel"),
        ({"queue": "f8,delete"}, "'keys.queue': delete has another function"),
        ({"tab.new": "f8\x1b[2J\n"}, "not a key"),
    ],
)
def test_the_error_of_an_invalid_key_binding_gives_the_reason(
    chosen: dict[str, str], why: str, tally: Tally
) -> None:
    with pytest.raises(SettingsError, match=why) as raised:
        parse_keymap(chosen)
    assert str(raised.value).isprintable()
    tally("bad configuration", tried=1)


def test_two_actions_may_swap_their_keys() -> None:
    keymap = parse_keymap({"tab.new": "ctrl+o", "tab.open": "ctrl+n"})
    keys = {key.id: key.keys for key in keymap.keys}
    assert (keys["tab.new"], keys["tab.open"]) == ("ctrl+o", "ctrl+n")


async def test_the_window_uses_the_remapped_keys() -> None:
    async with opened(keymap=parse_keymap({"tab.new": "ctrl+y, f8", "tab.next": "none"})) as window:
        (await window.ask("First")).finish()
        await window.press("ctrl+n")
        await window.press("ctrl+y")  # redo in Textual's editor
        await window.has_tabs("1 First", "2 New thread")
        (await window.ask("Second")).finish()
        await window.press("f8")
        await window.until(lambda: len(window.tabs) == 3)
        await window.press("f5", "f5", "f6")
        await window.until(lambda: "First" in window.shown)
        footer = window.lines[-1].split()
        assert footer[:4] == ["ctrl+y", "New", "ctrl+o", "Open"], footer


async def test_actions_without_a_key_are_not_in_the_footer() -> None:
    async with opened(keymap=parse_keymap({"tab.new": "", "help": "none"})) as window:
        await window.sees("Open")
        assert "New" not in window.lines[-1].split() and "Help" not in window.lines[-1]


async def test_help_and_palette_show_the_keys_in_force() -> None:
    keys = {"tab.new": "f8", "help": "f10", "fold": "none", "tab.1": "f7", "prompt.send": "f12"}
    async with opened(size=(100, 66), keymap=parse_keymap(keys)) as window:
        await window.press("f10")
        await window.until(lambda: isinstance(window.app.screen, HelpPanel))
        await window.sees("go to tab 9")
        for row in ("f8 new tab", "f7 go to tab 1", "alt+2 go to tab 2", "f12 send",
                    "no key show or hide thinking"):  # fmt: skip
            assert any(row in " ".join(line.split()) for line in window.lines), row
        await window.press("f10")
        await window.until(lambda: not isinstance(window.app.screen, HelpPanel))
        named = {each.title: each.help for each in window.app.get_system_commands(Screen())}
        assert [named[title] for title in ("New tab", "List of keys", "Copy the answer")] == [
            "f8", "f10", "alt+c"]  # fmt: skip
        assert named["Show or hide thinking and tool calls"] == ""


async def test_tabs_with_a_key_each_of_one_kind_are_one_row_of_help() -> None:
    keys = {f"tab.{number}": f"ctrl+{number}" for number in range(1, 10)}
    async with opened(size=(100, 60), keymap=parse_keymap(keys)) as window:
        await window.press("f1")
        await window.sees("ctrl+1 … ctrl+9")


def bound(screen: type[DOMNode]) -> dict[str, list[Binding]]:
    bindings = screen._merged_bindings
    assert bindings is not None
    return bindings.key_to_bindings


def test_the_help_of_panel_keys_matches_their_bindings() -> None:
    panels = (
        LibraryPanel, TabPicker, PairPicker, LinkPicker, CodePicker, SaveAsPanel, QueuePicker,
        ThreadPanel, HelpPanel, StatsPanel,
    )  # fmt: skip
    for panel in panels:
        keys = bound(panel)
        theirs = {name: each for name, each in keys.items() if name not in bound(Screen)}
        (opener,) = {
            binding.id.removeprefix(CLOSE_PREFIX)
            for bindings in keys.values()
            for binding in bindings
            if binding.id
        }
        acts = {name for name, (binding, *_) in theirs.items() if binding.action != "dismiss"}
        assert acts <= PANEL_KEYS.get(opener, frozenset()), panel


async def test_the_key_that_opens_a_panel_also_closes_it() -> None:
    async with opened(keymap=parse_keymap({"tab.open": "f12"})) as window:
        await window.press("f12")
        await window.until(lambda: isinstance(window.app.screen, Picker))
        await window.press("f12")
        await window.until(lambda: not isinstance(window.app.screen, Picker))


async def test_enter_can_insert_a_line_and_history_can_have_separate_keys() -> None:
    keys = {
        "prompt.send": "alt+enter",
        "prompt.newline": "ctrl+j",
        "prompt.previous": "ctrl+up",
        "prompt.next": "ctrl+down",
    }
    async with opened(keymap=parse_keymap(keys)) as window:
        await window.type("one")
        await window.press("alt+enter")
        await window.until(lambda: len(window.agent.turns) == 1)
        window.agent.turns[0].finish()
        await window.type("two")
        await window.press("enter")
        await window.type("three")
        await window.press("up", "up")
        assert (window.prompt.text, window.prompt.cursor_location[0]) == ("two\nthree", 0)
        await window.press("ctrl+up")
        await window.prompts("one")
        await window.press("ctrl+down")
        await window.prompts("two\nthree")


async def test_a_key_with_alt_that_was_chosen_arrives_at_once() -> None:
    async with opened(keymap=parse_keymap({"tab.new": "alt+/"})) as window:
        (key,) = keys_of("\x1b/")
        assert key == "alt+slash"
        (await window.ask("First")).finish()
        await window.press(key)
        await window.until(lambda: len(window.tabs) == 2)


def test_an_empty_keymap_has_the_default_keys() -> None:
    keymap = parse_keymap({})
    assert keymap.keys == ALL_KEYS


def test_no_key_of_the_window_is_the_prefix_of_another_sequence() -> None:
    assert not [name for key in KEYS for name in key.names if internals.is_sequence_prefix(name)]
