"""Tests that hints name the configured keys, including those that the user has chosen."""

from koel_tui.ui.keys.keymap import parse_keymap
from tests.ui.window import opened

CHOSEN = {
    "prompt.newline": "ctrl+l",
    "tab.new": "ctrl+y",
    "help": "none",
    "run.go_on": "f8",
    "queue": "none",
    "run.retry": "f7",
    "tab.beside": "ctrl+b",
    "run.regenerate": "none",
}


async def test_hints_name_the_keys_that_were_chosen() -> None:
    async with opened(keymap=parse_keymap(CHOSEN)) as window:
        await window.sees("enter sends, ctrl+l starts a new line.")
        await window.sees("ctrl+y opens another tab, ctrl+o a saved thread.")
        assert "shows all keys" not in window.screen
        assert window.prompt.placeholder == "Message…  enter sends, ctrl+l starts a new line"
        await window.press("alt+x")
        await window.tells("ctrl+b shows one")
        await window.press("alt+left")
        await window.tells("here. alt+e edits")
        turn = await window.ask("Tell me.")
        turn.write("Once")
        await window.type("And then?")
        await window.press("enter")
        await window.sees("queued: And then? ·")
        assert "alt+q" not in window.screen
        await window.press("escape")
        await window.sees("f8 continues the answer.")
        await window.press("ctrl+u")
        (await window.ask("And now?")).fail("It broke")
        await window.sees("Retry (f7)")
