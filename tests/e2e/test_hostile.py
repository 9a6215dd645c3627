"""Hostile text in a real terminal: nothing of it is obeyed."""

import sys

from tests.e2e.terminal import Terminal
from tests.hostile import EVERYTHING, foreign

RAW = (sys.executable, "-m", "tests.e2e.raw_widgets")
WINDOW = (sys.executable, "-m", "tests.e2e.hostile_window")
MODES = {1000, 1003, 1006, 1049, 2004}
"""Mouse, the alternate screen, bracketed paste."""


def assert_unmoved(terminal: Terminal) -> None:
    """Fail if anything but the window itself has changed the terminal."""
    assert foreign(terminal.bytes) == []
    assert "owned" not in terminal.title
    assert terminal.modes >= MODES


def test_the_belt_holds_back_what_slipped_past_the_gate() -> None:
    with Terminal(command=RAW) as terminal:
        terminal.until(lambda screen: "the end" in screen)
        assert "]0;owned" in terminal.text, "what is no control is shown"
        assert_unmoved(terminal)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0


def test_without_the_belt_raw_text_would_be_obeyed() -> None:
    """So the test above is one that can fail."""
    with Terminal("--without-belt", command=RAW) as terminal:
        terminal.until(lambda _: foreign(terminal.bytes) and not terminal.modes >= MODES)


def test_a_hostile_thread_model_and_disk_change_nothing_but_the_text() -> None:
    with Terminal(command=WINDOW, columns=120, rows=40) as terminal:
        terminal.until(lambda screen: "title " in screen and "ctx" in screen)
        terminal.ask("go on")
        terminal.until(lambda screen: "answered" in screen and "NOT SAVED" in screen)
        assert_unmoved(terminal)
        terminal.press("ctrl+t")  # thinking and calls unfolded
        terminal.until(lambda screen: "▾" in screen or "→" in screen)
        terminal.ask("fail now")
        terminal.until(lambda screen: "failed" in screen and "badly" in screen)
        for list_of in ("f4", "ctrl+o"):
            terminal.press(list_of)
            terminal.until(lambda screen: "esc leaves" in screen and "title" in screen)
            terminal.press("escape")
            terminal.until(lambda screen: "esc leaves" not in screen)
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


def prompt_of(terminal: Terminal) -> str:
    """What stands between the last two round corners."""
    return terminal.text.rpartition("╭")[2].partition("╰")[0]
