"""Tests of the alerts of an unfocused terminal: conditions, text, and the restored title."""

import pytest
from textual import events

from koel_tui.ui import internals
from koel_tui.ui.app.terminal_alert import TerminalAlert
from tests.hostile import HOSTILE, foreign
from tests.hostile_summary import Tally
from tests.ui.window import Window, opened

BACK = "\x1b]0;koel-chat\x1b\\\x1b[23;0t"


def done(title: str, *, first: bool = True) -> str:
    return ("\x1b[22;0t" if first else "") + f"\x1b]0;● koel-chat: {title} is done\x1b\\\x07"


def test_an_alert_is_sent_only_without_focus_and_the_title_is_restored() -> None:
    written: list[str] = []
    alert = TerminalAlert(written.append)
    alert.notify("Forest")
    alert.on_focus()
    assert written == []
    alert.on_blur()
    alert.notify("Forest")
    alert.notify("City", failed=True)
    assert written[0] == done("Forest")
    assert written[1] == "\x1b]0;✗ koel-chat: City failed\x1b\\\x07", "one title is kept, not two"
    alert.on_focus()
    alert.on_focus()
    alert.notify("Forest")
    assert written[2:] == [BACK]


def test_a_disabled_alert_is_not_sent() -> None:
    written: list[str] = []
    alert = TerminalAlert(written.append, enabled=False)
    alert.on_blur()
    alert.notify("Forest")
    assert written == []


def test_a_hostile_title_is_sanitized(worst: str, tally: Tally) -> None:
    written: list[str] = []
    alert = TerminalAlert(written.append)
    alert.on_blur()
    alert.notify(worst)
    title = written[0].removeprefix("\x1b[22;0t\x1b]0;").removesuffix("\x1b\\\x07")
    assert foreign(title.encode()) == [] and "\n" not in title
    assert len(title) < 100
    tally("control characters", tried=len(set(worst) & set(HOSTILE)))


async def focus(window: Window, event: events.Event) -> None:
    window.app.post_message(event)
    await window.handled()


async def test_a_window_without_focus_alerts_for_every_tab(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    monkeypatch.setattr(internals, "write_to_terminal", lambda app, text: written.append(text))
    async with opened() as window:
        seen = await window.ask("Seen")
        seen.finish()
        await window.until(lambda: "saved" in window.status)
        behind = await window.ask("Behind")
        await window.press("ctrl+n")
        in_front = await window.ask("In front")
        await focus(window, events.AppBlur())
        assert written == []
        behind.finish()
        await window.until(lambda: written == [done("Seen")])
        in_front.fail("broken")
        await window.until(lambda: len(written) == 2)
        assert "✗ koel-chat: In front failed" in written[1]
        await focus(window, events.AppFocus())
        assert written[2:] == [BACK]
        await focus(window, events.AppBlur())
        again = await window.ask("Again")
        again.finish()
        await window.until(lambda: written[3:] == [done("In front")])
    assert written[4:] == [BACK], "left while nobody looks, the title is put back, too"
