"""Tests of shortcuts on layouts without Latin letters, and of input methods."""

import json
from pathlib import Path
from typing import Any

import pytest
from textual import _ansi_sequences, _xterm_parser, events
from textual.binding import BindingsMap

from koel_tui.ui import internals
from koel_tui.ui.app.help_panel import HelpPanel
from koel_tui.ui.conversation.link_panels import LinkDialog
from koel_tui.ui.conversation.stats_panel import StatsPanel
from koel_tui.ui.internals import key_sequences
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
"""By layout: the characters that its keys type, and the standard keys at their positions."""
DIGITS = {
    "Thai": ("ๅ/-ภถ\u0e38\u0e36คตจ", "1234567890"),
    "Arabic digits": ("١٢٣٤٥٦٧٨٩٠", "1234567890"),
}
ROWS = [
    (layout, typed, key)
    for layout, (characters, names) in [*LAYOUTS.items(), *DIGITS.items()]
    for typed, key in zip(characters, names, strict=True)
]
SHIFTED = {
    "Arabic": ("\u064b\u064d\ufef5\u064e", "wsbq"),
    "Thai": ("ฆ\u0e3aฮซ", "sbv;"),
    "Russian": ("ЦЫИЬ", "wsbm"),
}
"""By layout: the characters that its keys type with shift, and the standard keys there."""
AFTER_A_LETTER = [
    ("Hebrew", "ש", "/'.,;]", "qw/'`["),
    ("Greek", "λ", ";", "q"),
    ("Thai", "ก", "/-_", "23`"),
    ("Russian", "ж", ".", "/"),
]
"""By layout: a letter, the characters of other keys, and the standard keys at their positions."""
FIXTURE = Path(__file__).with_name("input_methods.json")
INPUT_METHODS: list[dict[str, Any]] = json.loads(FIXTURE.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def registered_keys() -> None:
    """Register the alt keys, as the window does at its start."""
    internals.register_alt_sequences(name for key in ALL_KEYS for name in key.names)


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
def test_report_4_without_an_alternate_key_the_standard_position_names_the_shortcut(
    layout: str, typed: str, key: str
) -> None:
    letter = LAYOUTS.get(layout, ("abcdef",))[0][5]
    parser = InputParser()
    assert keys(f"\x1b[{ord(letter)};;{ord(letter)}u", parser)  # reveals the layout
    code = ord(typed)
    assert keys(f"\x1b[{code};5u\x1b[{code};3u\x1b[27;5;{code}~", parser) == [
        f"ctrl+{key}",
        f"alt+{key}",
        f"ctrl+{key}",
    ]


def test_report_4_terminals_without_key_reports_send_escape_and_the_character() -> None:
    bound = {name for key in ALL_KEYS for name in key.names}
    for _, typed, key in ROWS:
        if f"alt+{key}" in bound and not typed.isascii() and not typed.isdecimal():
            assert keys(f"\x1b{typed}") == [f"alt+{key}"]
    assert keys("\x1bЦ\x1bΣ\x1b\u042c") == ["alt+shift+w", "alt+shift+s", "alt+shift+m"]


def test_report_4_shift_and_capital_letters() -> None:
    assert keys("\x1b[1094:1062;4u\x1b[1094:1062:119;4u\x1b[1062;3u\x1b[1094;67u") == [
        "alt+shift+w", "alt+shift+w", "alt+shift+w", "alt+w",
    ]  # fmt: skip


@pytest.mark.parametrize("layout", SHIFTED)
def test_report_4_shift_on_layouts_with_and_without_capital_letters(layout: str) -> None:
    for typed, key in zip(*SHIFTED[layout], strict=True):
        name = internals.key_of_character(key)
        parser = InputParser()
        keys("аกب"[list("RTA").index(layout[0])], parser)
        for data in (f"\x1b{typed}", f"\x1b[27;4;{ord(typed)}~", f"\x1b[{ord(typed)};3u"):
            assert keys(data, parser) == [f"alt+shift+{name}"], data
        assert key_name(f"alt+shift+{typed}") == f"alt+shift+{name}"


def test_report_4_shift_types_other_characters_after_a_letter_of_the_layout() -> None:
    assert keys('ก\x1b"\x1b?') == ["ก", "alt+shift+w", "alt+shift+m"]
    assert keys("ب\x1b'\x1b\u2019") == ["ب", "alt+shift+m", "alt+shift+m"]
    assert keys("ש\x1bW\x1b[39:87:119;4u")[1:] == ["alt+shift+w"] * 2


@pytest.mark.parametrize(("layout", "letter", "typed", "names"), AFTER_A_LETTER)
def test_report_4_punctuation_after_a_letter_that_came_as_text(
    layout: str, letter: str, typed: str, names: str
) -> None:
    """Some terminals, such as tmux, report keys with ctrl but send text without key reports."""
    for character, key in zip(typed, names, strict=True):
        name = internals.key_of_character(key)
        assert keys(f"{letter}\x1b[{ord(character)};6u") == [letter, f"ctrl+shift+{name}"], layout
        if character not in "[]_":  # these begin other sequences
            assert keys(f"{letter}\x1b{character}") == [letter, f"alt+{name}"], layout


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("\x1b[47::113;3u", "alt+q"),
        ("\x1b[39::119;3u", "alt+w"),
        ("\x1b[47::50;3u", "alt+2"),
        ("\x1b[45::51;3u", "alt+3"),
    ],
)
def test_report_4_the_first_key_after_a_change_from_a_latin_layout(data: str, key: str) -> None:
    assert keys(f"a\x1b[97;;97u{data}")[-1] == key


def test_report_4_keys_for_one_alt_key_in_tmux() -> None:
    assert keys("\x1b\u0661\x1b۲\x1bє\x1bґ") == [
        "alt+1",
        "alt+2",
        "alt+apostrophe",
        "alt+backslash",
    ]
    # One Arabic key types two letters.
    assert keys("\x1bل\u0627") == ["alt+b"] and keys("\x1bل") == ["alt+g"]
    assert keys("\x1bلآ\x1bلإ") == ["alt+shift+b", "alt+shift+t"]
    assert keys("ل\u0627") == ["ل", "\u0627"]


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("\x1b[1094::119;3;1094u", "alt+w"),
        ("\x1b[1094:1062:119;4;1062u", "alt+shift+w"),
        ("\x1b[99;9;99u", "super+c"),
        ("\x1b[99;33;99u", "meta+c"),
    ],
)
def test_report_4_a_modifier_did_not_write_the_text_of_the_key_alone(data: str, key: str) -> None:
    (event,) = InputParser().feed(data)
    assert isinstance(event, events.Key) and (event.key, event.character) == (key, None)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("\x1b[91;5u", "escape"),
        ("\x1b[1093::91;5u", "escape"),
        ("\x1b[32;5u", "ctrl+@"),
    ],
)
def test_keys_with_ctrl_are_those_that_a_terminal_without_key_reports_sends(
    data: str, key: str
) -> None:
    assert keys(data) == [key]


@pytest.mark.parametrize(
    ("data", "character"), [("\x1b[97;65u", "A"), ("\x1b[97;66u", "a"), ("\x1b[49;65u", "1")]
)
def test_caps_lock_types_capital_letters_for_terminals_that_send_no_text(
    data: str, character: str
) -> None:
    (event,) = InputParser().feed(data)
    assert isinstance(event, events.Key) and event.character == character


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("\x1b[97::113;5u", "ctrl+a"),  # AZERTY: a at the position of q
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
        ("\x1b[46::47;5u", "ctrl+full_stop"),  # Turkish
    ],
)
def test_report_4_latin_layouts_are_unchanged(data: str, key: str) -> None:
    assert keys(data)[-1] == key


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("alt+ц", "alt+w"), ("ctrl+є", "ctrl+apostrophe"), ("alt+ل\u0627", "alt+b"),
        ("Alt+Shift+Ц", "alt+shift+w"), ("ctrl+ψ", "ctrl+c"), ("alt+ö", "alt+ö"),
    ],
)  # fmt: skip
def test_report_4_a_key_in_the_configuration_may_be_a_letter_of_the_layout(
    written: str, name: str
) -> None:
    assert key_name(written) == name


def use_own_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register keys for this test only, without those of other tests."""
    sequences: dict[str, Any] = {
        sequence: keys
        for sequence, keys in _ansi_sequences.ANSI_SEQUENCES_KEYS.items()
        if len(sequence) != 2 or sequence[1].isalnum()
    }
    monkeypatch.setattr(key_sequences, "ANSI_SEQUENCES_KEYS", sequences)
    monkeypatch.setattr(_xterm_parser, "ANSI_SEQUENCES_KEYS", sequences)


def test_a_sign_with_alt_is_the_same_key_in_every_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    use_own_sequences(monkeypatch)
    for data in ("\x1b[47:63;4u", "\x1b[223:63:45;4u", "\x1b[27;4;63~"):
        assert keys(data) != ["alt+question_mark"]
    internals.register_alt_sequences([key_name("alt+?")])
    for data in ("\x1b?", "\x1b[47:63;4u", "\x1b[223:63:45;4u", "\x1b[27;4;63~"):
        assert keys(data) == ["alt+question_mark"]
    assert keys("\x1b[3607:63:109;4u") == ["alt+shift+m"]  # Thai
    assert keys("\x1b[47:63;4:3u") == []


def test_report_4_a_sign_that_the_user_chose_stays_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    use_own_sequences(monkeypatch)
    internals.register_alt_sequences(name for key in ALL_KEYS for name in key.names)
    internals.register_alt_sequences(["alt+full_stop", "alt+apostrophe"])
    assert keys("ж\x1b.") == ["ж", "alt+full_stop"]  # alt+/, the key there, has no function
    assert keys("ש\x1b'") == ["ש", "alt+w"]


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


@pytest.mark.parametrize("cut", [0, 4, 6, 7, 13, 40, 100])
def test_report_5_a_long_text_of_an_input_method_arrives_once(cut: int) -> None:
    """Textual alone would type the escape sequence instead of its text."""
    text = "我昨天在图书馆里看了一本很有意思的书"
    data = f"x\x1b[0;;{':'.join(str(ord(character)) for character in text)}uy"
    parser = InputParser()
    found = [*parser.feed(data[:cut]), *parser.feed(data[cut:])] if cut else [*parser.feed(data)]
    assert "".join(str(each.character) for each in found if isinstance(each, events.Key)) == (
        f"x{text}y"
    )


@pytest.mark.parametrize(
    ("environ", "requested"),
    [
        ({"TERM_PROGRAM": "iTerm.app", "LC_TERMINAL": "iTerm2"}, False),
        ({"LC_TERMINAL": "iTerm2", "SSH_TTY": "/dev/pts/1"}, False),
        ({"TERM_PROGRAM": "ghostty", "LC_TERMINAL": "iTerm2"}, True),
        ({"TERM_PROGRAM": "iTerm.app", "LC_TERMINAL": "iTerm2", "KITTY_WINDOW_ID": "1"}, True),
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "xterm-kitty", "LC_TERMINAL": "iTerm2", "SSH_TTY": "/dev/pts/1"}, True),
        ({"TERM": "tmux-256color", "LC_TERMINAL": "iTerm2", "SSH_TTY": "/dev/pts/1"}, False),
        ({}, True),
    ],
)
def test_report_5_iterm2_is_not_asked_for_key_reports(
    environ: dict[str, str], requested: bool
) -> None:
    assert keyboard_request(environ) == ("\x1b[>29u" if requested else "")
