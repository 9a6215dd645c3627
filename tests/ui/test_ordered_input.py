"""Tests that keys and text typed fast into the fields of panels keep their order."""

import pytest
from textual import events
from textual.widgets import Input

from koel_tui.storage import MemoryStorage
from tests.ui.window import Window, messages, opened

BURST = ["x", "y", "ctrl+u", "a", "c", "left", "b", "end", "d", "home", "delete", "end"]


def burst(window: Window) -> None:
    for key in BURST:
        window.app.post_message(events.Key(key, key if len(key) == 1 else None))


@pytest.mark.parametrize(
    "way",
    [
        {"ctrl+o": "2 messages"},
        {"ctrl+o": "2 messages", "f2": "─ Rename ─"},
        {"ctrl+o": "2 messages", "ctrl+s": "Markdown", "enter": "Save as"},
        {"f2": "This thread"},
        {"f9": "Settings of the program", "enter": "enter changes"},
    ],
)
async def test_keys_and_text_in_a_field_of_a_panel_keep_their_order(way: dict[str, str]) -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(2))
    async with opened(storage=storage) as window:
        for key, seen in way.items():
            await window.press(key)
            await window.sees(seen)
            await window.until(lambda: isinstance(window.app.focused, Input), "a field")
        burst(window)
        field = window.app.focused
        assert isinstance(field, Input)
        await window.until(lambda: field.value == "bcd", "bcd")
