"""Tests of the Option key of a Mac: the advice, and the actions without alt keys."""

import importlib
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Iterator

import pytest
from textual.binding import Binding
from textual.command import CommandPalette

import koel_tui.ui
from koel_tui.cli.doctor import terminal
from koel_tui.system.option_key import option_key_advice
from koel_tui.ui.app.help_panel import HelpPanel
from koel_tui.ui.keys.key_table import ALL_KEYS, CLOSE_PREFIX
from tests.docs_pages import PAGES
from tests.ui.window import opened

ELSEWHERE = {
    **{f"tab.{number}": "tab.find" for number in range(1, 10)},
    "copy_or_quit": "quit",  # to copy, select text with the mouse
}
"""Key ids without a command, and the id whose command has the same effect."""
MACS = [
    ({"TERM_PROGRAM": "Apple_Terminal"}, "linux", "Use Option as Meta key"),
    ({"LC_TERMINAL": "iTerm2", "SSH_TTY": "/dev/pts/0"}, "linux", "Esc+"),
    ({"XTERM_VERSION": "XTerm(390)", "TERM": "xterm-256color"}, "linux", "metaSendsEscape: true"),
    ({"TERM_PROGRAM": "tmux", "LC_TERMINAL": "iTerm2"}, "linux", "Esc+"),
    ({"TERM_PROGRAM": "tmux", "ITERM_SESSION_ID": "w0t0p0"}, "darwin", "Esc+"),
    ({"TERM_PROGRAM": "tmux", "GHOSTTY_RESOURCES_DIR": "/x"}, "darwin", "macos-option-as-alt"),
    ({"TERM_PROGRAM": "tmux", "WEZTERM_PANE": "0"}, "darwin", "left Option key is alt"),
    ({"TERM_PROGRAM": "tmux"}, "darwin", "the settings of the terminal"),
    ({"TERM_PROGRAM": "ghostty"}, "darwin", "macos-option-as-alt = true"),
    ({"TERM_PROGRAM": "Apple_Terminal", "KITTY_WINDOW_ID": "1"}, "darwin", "option_as_alt yes"),
    ({"ALACRITTY_WINDOW_ID": "1"}, "darwin", "option_as_alt"),
    ({"TERM_PROGRAM": "vscode"}, "darwin", "terminal.integrated.macOptionIsMeta"),
    ({"TERM_PROGRAM": "new [red]\x1b[31m"}, "darwin", "the settings of the terminal"),
    ({}, "darwin", "the settings of the terminal"),
]


@pytest.mark.parametrize(("environ", "platform", "words"), MACS)
def test_report_26_the_setting_of_a_terminal_on_a_mac(
    environ: dict[str, str], platform: str, words: str
) -> None:
    advice = option_key_advice(environ, platform)
    assert words in advice and advice.isprintable() and "[red]" not in advice
    found = terminal.Terminal(True, environ, 80, 24, "truecolor", "UTF-8", "x", "", platform)
    (finding,) = (each for each in terminal.evaluate(found) if each.name == "alt keys")
    assert finding.advice == advice
    assert words in PAGES["keys"] or words == "the settings of the terminal"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"TERM_PROGRAM": "ghostty"},
        {"KITTY_WINDOW_ID": "1"},
        {"XTERM_VERSION": "XTerm(390)", "TERM": "foot"},
        {"XTERM_VERSION": "XTerm(390)", "TERM": "xterm-256color", "TERM_PROGRAM": "vscode"},
    ],
)
def test_report_26_no_advice_on_another_computer(environ: dict[str, str]) -> None:
    assert option_key_advice(environ, "linux") == ""


@pytest.mark.parametrize("platform", ["darwin", "linux"])
async def test_report_26_the_list_of_keys_has_the_advice(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(size=(80, 24)) as window:
        monkeypatch.setenv("TERM_PROGRAM", "ghostty")
        monkeypatch.setattr(sys, "platform", platform)
        await window.press("f1")
        await window.until(lambda: isinstance(window.app.screen, HelpPanel))
        await window.sees("new line")
        assert ("macos-option-as-alt" in window.screen) == (platform == "darwin")


async def test_report_26_every_action_is_in_the_palette() -> None:
    async with opened() as window:
        titles = [each.title for each in window.app.get_system_commands(window.app.screen)]
    known = {key.id: key for key in ALL_KEYS}
    for key in ALL_KEYS:
        if key.id == "palette":
            continue  # the palette is open already
        other = known[ELSEWHERE.get(key.id, key.id)]
        assert other.command and titles.count(other.command) == 1, key.id


async def test_report_26_the_palette_runs_the_actions_of_the_prompt() -> None:
    async with opened() as window:
        await window.type("one")
        for command in ("New line in the prompt", "Attach a text file"):
            await window.press("ctrl+p")
            await window.until(lambda: isinstance(window.app.screen, CommandPalette))
            await window.type(command)
            await window.until(lambda: window.screen.count(command) == 2, command)  # noqa: B023
            await window.press("enter")
            await window.until(lambda: len(window.app.screen_stack) == 1)
        await window.prompts("one\n@")
        await window.press("backspace", "ctrl+p")
        await window.until(lambda: isinstance(window.app.screen, CommandPalette))
        await window.type("Send the prompt")
        await window.until(lambda: window.screen.count("Send the prompt") == 2)
        await window.press("enter")
        await window.until(lambda: len(window.agent.turns) == 1, "a run")
        assert str(window.agent.turns[0].prompt).strip() == "one"


def panel_bindings() -> Iterator[tuple[str, Binding]]:
    """Yield the bindings of all panels and their fields, each with the name of its class."""
    for module in pkgutil.walk_packages(koel_tui.ui.__path__, "koel_tui.ui."):
        for name, kind in vars(importlib.import_module(module.name)).items():
            if isinstance(kind, type) and kind.__module__ == module.name:
                for binding in Binding.make_bindings(vars(kind).get("BINDINGS", ())):
                    yield name, binding


def test_report_26_no_panel_needs_an_alt_key() -> None:
    in_palette = {key.id for key in ALL_KEYS}
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, binding in panel_bindings():
        if binding.id not in in_palette and not (binding.id or "").startswith(CLOSE_PREFIX):
            keys[name, binding.action].add(binding.key)
    assert len(keys) > 10
    only_alt = [at for at, names in keys.items() if all(name.startswith("alt+") for name in names)]
    assert only_alt == []
