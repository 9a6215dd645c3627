"""Hostile text in a real terminal: none of its control sequences has an effect."""

import sys

from tests.e2e.terminal import Terminal
from tests.hostile import EVERYTHING, HOSTILE, foreign
from tests.hostile_summary import Tally

RAW = (sys.executable, "-m", "tests.e2e.raw_widgets")
WINDOW = (sys.executable, "-m", "tests.e2e.hostile_window")
RAW_WIDGETS = 10
MODES = {1000, 1003, 1006, 1049, 2004}
"""The terminal modes of the window: mouse, alternate screen, bracketed paste."""


def assert_unmoved(terminal: Terminal) -> None:
    """Check that only the window itself has changed the terminal."""
    assert foreign(terminal.bytes) == []
    assert "owned" not in terminal.title
    assert terminal.modes >= MODES


def test_the_output_sanitizer_removes_control_characters_of_raw_widgets(tally: Tally) -> None:
    with Terminal(command=RAW) as terminal:
        terminal.until(lambda screen: "the end" in screen)
        assert "]0;owned" in terminal.text, "what is no control is shown"
        assert_unmoved(terminal)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    tally("control characters", tried=RAW_WIDGETS * len(HOSTILE))


def test_raw_text_changes_the_terminal_without_the_output_sanitizer() -> None:
    """Shows that the test above can fail."""
    with Terminal("--without-sanitizer", command=RAW) as terminal:
        terminal.until(lambda _: foreign(terminal.bytes) and not terminal.modes >= MODES)


def test_a_hostile_thread_model_and_disk_do_not_change_the_terminal(
    tally: Tally,
) -> None:
    with Terminal(command=WINDOW, columns=120, rows=50) as terminal:
        terminal.until(lambda screen: "title " in screen and "ctx" in screen)
        terminal.ask("go on")
        terminal.until(lambda screen: "answered" in screen and "NOT SAVED" in screen)
        assert_unmoved(terminal)
        terminal.press("ctrl+t")  # unfolds thinking and calls
        terminal.until(lambda screen: "▾" in screen or "→" in screen)
        terminal.ask("fail now")
        terminal.until(lambda screen: "failed" in screen and "badly" in screen)
        for list_of in ("f4", "ctrl+o"):
            terminal.press(list_of)
            terminal.until(lambda screen: "esc closes" in screen and "title" in screen)
            terminal.press("escape")
            terminal.until(lambda screen: "esc closes" not in screen)
        assert_unmoved(terminal)
        assert "owned" not in prompt_of(terminal), "nothing was typed by the terminal's answers"
        terminal.type(f"\x1b[200~mine {EVERYTHING}\x1b[201~")
        terminal.until(lambda _: "mine" in prompt_of(terminal))
        assert_unmoved(terminal)
        before = len(terminal.bytes)
        terminal.press("ctrl+q")
        assert terminal.wait() == 74
        assert terminal.restored()
        assert "owned" not in terminal.title
        said = terminal.bytes[before:].rpartition(b"Not saved")[2]
        assert b"full" in said
        assert foreign(said) == []
    tally("control characters", tried=9 * len(HOSTILE))  # the title, the thread, the answer, …


PANELS = {
    "f2": "This thread",
    "f3": "Statistics",
    "f9": "a setting",
    "f4": "Open tabs",
    "ctrl+o": "Saved threads",
    "ctrl+p": "Search for commands",
    "alt+q": "Queued messages",
}
"""The key of every panel that shows untrusted text, and a text that shows the panel is open."""


def look_into(terminal: Terminal, key: str, words: str) -> None:
    terminal.press(key)
    terminal.until(lambda screen: words in screen)
    terminal.press("escape")
    terminal.until(lambda screen: words not in screen)
    assert_unmoved(terminal)


def test_no_panel_of_a_hostile_thread_changes_the_terminal(tally: Tally) -> None:
    hostile = EVERYTHING.replace("\0", "")
    environment = {f"KOEL_{name}": hostile for name in ("SYSTEM", "MODEL", "THEME")}
    with Terminal(command=WINDOW, columns=120, rows=40, environment=environment) as terminal:
        terminal.until(lambda screen: "title " in screen and "ctx" in screen)
        terminal.ask("go on")
        terminal.until(lambda screen: "answered" in screen)
        terminal.ask("wait here")
        terminal.until(lambda _: "⌛" in terminal.label_row)
        terminal.ask("and then")
        terminal.until(lambda screen: "queued: and then" in screen)
        assert_unmoved(terminal)
        for key, words in PANELS.items():
            look_into(terminal, key, words)
        terminal.press("alt+s")
        terminal.until(lambda screen: "2 New thread" in screen)
        assert_unmoved(terminal)
        assert "owned" not in prompt_of(terminal)
    tally("control characters", tried=(len(PANELS) + 2) * len(HOSTILE))


def test_a_paste_that_contains_its_end_marker_does_not_change_the_terminal(tally: Tally) -> None:
    with Terminal(command=WINDOW, columns=120, rows=40) as terminal:
        terminal.until(lambda screen: "ctx" in screen)
        terminal.type("\x1b[200~first\x1b[201~second\x1b[201~third\x00\x1b[200~fourth\x1b[201~")
        terminal.until(lambda _: "fourth" in prompt_of(terminal))
        assert_unmoved(terminal)
        terminal.type("\x1b[200~" + "line of text\n" * 80_000 + "\x1b[201~last")
        terminal.until(lambda _: "[pasted 80000 lines" in prompt_of(terminal), 60)
        terminal.until(lambda _: "last" in prompt_of(terminal))
        terminal.press("ctrl+q")
        assert terminal.wait(30) in (0, 74)
        assert terminal.restored()
    tally("paste", tried=2)


def prompt_of(terminal: Terminal) -> str:
    """Return the text between the last two round corners."""
    return terminal.text.rpartition("╭")[2].partition("╰")[0]
