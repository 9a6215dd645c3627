"""Alerts in a real terminal that reports its focus: sent without focus, and reset at the end."""

from tests.e2e.terminal import Terminal
from tests.e2e.test_hostile import WINDOW
from tests.hostile import HOSTILE

FOCUS_LOST, FOCUS_GOT = "\x1b[O", "\x1b[I"
BELL = b"\x1b\\\x07"
"""The bell follows the title's end; alone, BEL may be the end of a sequence of Textual."""
BROUGHT_BACK = b"\x1b]0;koel-chat\x1b\\\x1b[23;0t"


def test_the_bell_rings_and_the_title_shows_the_reason_until_the_focus_returns() -> None:
    with Terminal(command=WINDOW, columns=120, rows=40) as terminal:
        terminal.until(lambda screen: "title " in screen and "ctx" in screen)
        terminal.type(FOCUS_LOST)
        terminal.ask("go on")
        terminal.until(lambda _: BELL in terminal.bytes)
        assert terminal.title.startswith("● koel-chat: title ")
        assert terminal.title.endswith(" is done")
        assert not set(terminal.title) & set(HOSTILE)
        assert terminal.bytes.count(BELL) == terminal.bytes.count(b"\x1b[22;0t") == 1
        terminal.type(FOCUS_GOT)
        terminal.until(lambda _: BROUGHT_BACK in terminal.bytes)
        terminal.type(FOCUS_LOST)
        terminal.ask("fail now")
        terminal.until(lambda _: terminal.title.startswith("✗ koel-chat: title "))
        terminal.press("ctrl+q")
        assert terminal.wait() == 74
        assert terminal.bytes.count(BROUGHT_BACK) == 2, "at the end as well"
        assert terminal.restored()
