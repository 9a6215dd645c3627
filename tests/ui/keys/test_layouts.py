"""Shortcuts on layouts without Latin letters, and input methods, as terminals send them."""

import json
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.binding import BindingsMap

from koel_tui.ui import internals
from koel_tui.ui.app.help_panel import HelpPanel
from koel_tui.ui.conversation.link_panels import LinkDialog
from koel_tui.ui.conversation.stats_panel import StatsPanel
from koel_tui.ui.internals.input_parser import InputParser
from koel_tui.ui.internals.terminal_driver import keyboard_request
from koel_tui.ui.keys.key_table import ALL_KEYS
from koel_tui.ui.keys.keymap import key_name

LAYOUTS = {
    "Russian": ("йцукенгшщзфывапролдячсмить", "qwertyuiopasdfghjklzxcvbnm"),
    "Ukrainian": ("йцукенгшщзфівапролдячсмить", "qwertyuiopasdfghjklzxcvbnm"),
    "Greek": (";ςερτυθιοπασδφγηξκλζχψωβνμ", "qwertyuiopasdfghjklzxcvbnm"),
    "Hebrew": ("/'קראטוןםפשדגכעיחלךזסבהנמצ", "qwertyuiopasdfghjklzxcvbnm"),
    "Arabic": ("ضصثقفغعهخحشسيبلاتنمئءؤر\ufefbىة", "qwertyuiopasdfghjklzxcvbnm"),
    "Thai": (
        "ๆไำพะ\u0e31\u0e35รนยฟหกดเ\u0e49\u0e48าสผปแอ\u0e34\u0e37ท",
        "qwertyuiopasdfghjklzxcvbnm",
    ),
}
"""By layout: what its keys type, and the standard key at the same position."""
DIGITS = {
    "Thai": ("ๅ/-ภถ\u0e38\u0e36คตจ", "1234567890"),
    "Arabic digits": ("١٢٣٤٥٦٧٨٩٠", "1234567890"),
}
ROWS = [
    (layout, typed, key)
    for layout, (characters, names) in [*LAYOUTS.items(), *DIGITS.items()]
    for typed, key in zip(characters, names, strict=True)
]
FIXTURE = Path(__file__).with_name("input_methods.json")
INPUT_METHODS: list[dict[str, Any]] = json.loads(FIXTURE.read_text(encoding="utf-8"))


def keys(data: str, parser: InputParser | None = None) -> list[str]:
    parser = parser or InputParser()
    return [event.key for event in parser.feed(data) if isinstance(event, events.Key)]


@pytest.mark.parametrize(("layout", "typed", "key"), ROWS)
def test_report_4_the_alternate_key_of_the_terminal_names_the_shortcut(
    layout: str, typed: str, key: str
) -> None:
    code = f"{ord(typed)}::{ord(key)}"
    assert keys(f"\x1b[{code};5u\x1b[{code};3u\x1b[{code};7:2u") == [
        f"ctrl+{key}",
        f"alt+{key}",
        f"alt+ctrl+{key}",
    ]
    assert keys(f"\x1b[{code}:;5:3u") == []


@pytest.mark.parametrize(("layout", "typed", "key"), ROWS)
def test_report_4_without_it_the_standard_position_does(layout: str, typed: str, key: str) -> None:
    letter = LAYOUTS.get(layout, ("abcdef",))[0][5]
    parser = InputParser()
    assert keys(f"\x1b[{ord(letter)};;{ord(letter)}u", parser)  # tells the layout
    code = ord(typed)
    assert keys(f"\x1b[{code};5u\x1b[{code};3u\x1b[27;5;{code}~", parser) == [
        f"ctrl+{key}",
        f"alt+{key}",
        f"ctrl+{key}",
    ]


def test_report_4_terminals_without_key_reports_send_escape_and_the_character() -> None:
    internals.register_alt_sequences(name for key in ALL_KEYS for name in key.names)
    bound = {name for key in ALL_KEYS for name in key.names}
    for _, typed, key in ROWS:
        if f"alt+{key}" in bound and not typed.isascii() and not typed.isdecimal():
            assert keys(f"\x1b{typed}") == [f"alt+{key}"]
    assert keys("\x1bЦ\x1bΣ\x1b\u042c") == ["alt+shift+w", "alt+shift+s", "alt+shift+m"]


def test_report_4_shift_and_capital_letters() -> None:
    assert keys("\x1b[1094:1062;4u\x1b[1094:1062:119;4u\x1b[1062;3u\x1b[1094;67u") == [
        "alt+shift+w", "alt+shift+w", "alt+shift+w", "alt+w",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("\x1b[97::113;5u", "ctrl+a"),  # AZERTY: a is where q is
        ("\x1b[38::49;3u", "alt+ampersand"),
        ("\x1b[39::113;5u", "ctrl+apostrophe"),  # Dvorak
        ("\x1b[122::121;5u", "ctrl+z"),  # QWERTZ
        ("\x1b[246::59;3u", "alt+ö"),
        ("\x1b[178::96;5u", "ctrl+²"),
        ("\x1b[186::96;5u", "ctrl+º"),
        ("\x1b[181::109;5u", "ctrl+µ"),
        ("\x1b[7929::97;3u", "alt+ỹ"),  # Vietnamese
        ("\x1b[305::105;5u", "ctrl+\u0131"),  # Turkish
        ("\x1b[97;;97u\x1b[59::113;5u", "ctrl+semicolon"),  # Programmer Dvorak
        ("\x1b[47;5u", "ctrl+slash"),
    ],
)
def test_report_4_latin_layouts_are_unchanged(data: str, key: str) -> None:
    assert keys(data)[-1] == key


@pytest.mark.parametrize(
    ("written", "name"),
    [("alt+ц", "alt+w"), ("Alt+Shift+Ц", "alt+shift+w"), ("ctrl+ψ", "ctrl+c"), ("alt+ö", "alt+ö")],
)
def test_report_4_a_key_in_the_configuration_may_be_a_letter_of_the_layout(
    written: str, name: str
) -> None:
    assert key_name(written) == name


def test_report_4_letters_in_panels_work_on_every_layout() -> None:
    for panel, letter in ((HelpPanel, "q"), (StatsPanel, "q"), (LinkDialog, "c")):
        bound = BindingsMap(panel.BINDINGS).key_to_bindings
        for _, typed, key in ROWS:
            assert key != letter or typed.isascii() or typed in bound


def test_report_4_text_is_never_changed() -> None:
    for _, typed, key in ROWS:
        (event,) = InputParser().feed(f"\x1b[{ord(typed)}::{ord(key)};65;{ord(typed)}u")
        assert isinstance(event, events.Key) and event.character == typed


@pytest.mark.parametrize("fixture", INPUT_METHODS, ids=lambda each: each["name"])
def test_report_5_the_text_of_input_methods_arrives_once(fixture: dict[str, Any]) -> None:
    parser = InputParser()
    found = [event for part in fixture["input"] for event in parser.feed(part)]
    text = "".join(
        event.text if isinstance(event, events.Paste) else event.character or f"<{event.key}>"
        for event in found
        if isinstance(event, events.Key | events.Paste)
    )
    assert text == fixture["text"]


@pytest.mark.parametrize(
    ("environ", "requested"),
    [
        ({"TERM_PROGRAM": "iTerm.app", "LC_TERMINAL": "iTerm2"}, False),
        ({"LC_TERMINAL": "iTerm2", "SSH_TTY": "/dev/pts/1"}, False),
        ({"TERM_PROGRAM": "ghostty", "LC_TERMINAL": "iTerm2"}, True),
        ({"TERM_PROGRAM": "iTerm.app", "LC_TERMINAL": "iTerm2", "KITTY_WINDOW_ID": "1"}, True),
        ({"TERM": "xterm-kitty"}, True),
        ({}, True),
    ],
)
def test_report_5_iterm2_is_not_asked_for_key_reports(
    environ: dict[str, str], requested: bool
) -> None:
    assert keyboard_request(environ) == ("\x1b[>29u" if requested else "")
