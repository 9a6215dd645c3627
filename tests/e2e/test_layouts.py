"""Shortcuts on another keyboard layout, and input methods, in the real program."""

import pytest

from tests.e2e.terminal import Terminal


@pytest.mark.parametrize(
    "quit_keys",
    ["\x1b[1081;5u", "\x1b[1089::99;5u" * 2, "\x1b[47::113;5u", "\x1b[59::113;5u", "ש\x1b[47;5u"],
    ids=[
        "Russian ctrl+q",
        "Russian ctrl+c twice",
        "Hebrew ctrl+q",
        "Greek ctrl+q",
        "Hebrew in tmux",
    ],
)
def test_report_4_shortcuts_work_on_a_cyrillic_layout(quit_keys: str) -> None:
    with Terminal() as terminal:
        terminal.until(lambda screen: "Ask" in screen)
        if quit_keys == "\x1b[1081;5u":
            terminal.type("Привет")
            terminal.until(lambda screen: "Привет" in screen)
            terminal.type("\x1b[1090;5u")  # ctrl+n
            terminal.until(lambda _: " 2 " in terminal.label_row)
            terminal.type("\x1b[1094;3u")  # alt+w
            terminal.until(lambda _: " 2 " not in terminal.label_row)
            terminal.until(lambda screen: "ctx 0/" in screen)  # the list needs the storage
            terminal.type("\x1b[1097;5u")  # ctrl+o
            terminal.until(lambda screen: "No thread is saved yet" in screen)
            terminal.press("escape")
        terminal.type(quit_keys)
        assert terminal.wait() == 0
        assert terminal.restored()


@pytest.mark.parametrize("program", ["iTerm.app", "ghostty"])
def test_report_5_iterm2_is_not_asked_for_key_reports(program: str) -> None:
    environment = {"TERM_PROGRAM": program, "LC_TERMINAL": "iTerm2"}
    with Terminal(environment=environment) as terminal:
        terminal.until(lambda screen: "Ask" in screen)
        requested = b"\x1b[>29u" in terminal.bytes
        assert requested == (program == "ghostty") and b"\x1b[>25u" not in terminal.bytes
        terminal.type("\x1b[0;;20320:22909u你好吗")
        terminal.until(lambda screen: screen.replace(" ", "").count("你好你好吗") == 1)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
