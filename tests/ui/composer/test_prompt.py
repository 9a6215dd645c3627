"""Tests of the prompt: keys, the order of fast input, history, growth and undo."""

import asyncio
from collections.abc import Iterator

import pytest
from textual import events
from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.message import Message

from koel_tui.conversation.prompt_history import PromptHistory
from koel_tui.ui import internals
from koel_tui.ui.composer.prompt import Prompt
from koel_tui.ui.keys.key_table import ALL_KEYS
from tests.ui.window import opened


class PromptApp(App[None]):
    """An app with only a prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def compose(self) -> ComposeResult:
        yield Prompt(self.sent.append)


async def test_enter_sends_and_three_keys_start_a_new_line() -> None:
    app = PromptApp()
    async with app.run_test() as pilot:
        await pilot.press("a", "ctrl+j", "b", "alt+enter", "c", "shift+enter", "d", "enter")
        assert app.sent == ["a\nb\nc\nd"]
        assert app.query_one(Prompt).text == ""


async def test_keys_that_come_all_at_once_count_in_their_order() -> None:
    app = PromptApp()
    async with app.run_test() as pilot:
        for key in ["o", "n", "e", "enter", "t", "w", "left", "o", "ctrl+j", "x", "enter", "end"]:
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        async with asyncio.timeout(10):
            while len(app.sent) < 2:
                await pilot.pause()
        assert app.sent == ["one", "to\nxw"]


async def test_the_keys_of_the_prompt_can_be_remapped() -> None:
    app = PromptApp()
    async with app.run_test() as pilot:
        app.set_keymap({"prompt.send": "ctrl+s", "prompt.newline": "enter"})
        await pilot.press("a", "enter", "b", "ctrl+s")
        assert app.sent == ["a\nb"]


async def test_up_and_down_walk_through_the_sent_prompts() -> None:
    app = PromptApp()
    async with app.run_test() as pilot:
        prompt = app.query_one(Prompt)
        for text in ("first", "second\nline"):
            prompt.insert(text)
            await pilot.press("enter")
        prompt.insert("draft")
        await pilot.press("up")
        assert prompt.text == "second\nline"
        await pilot.press("up")  # moves within the text, which has two lines
        assert prompt.text == "second\nline"
        await pilot.press("up")
        assert prompt.text == "first"
        await pilot.press("up")
        assert prompt.text == "first"
        await pilot.press("down", "down", "down", "down")
        assert prompt.text == "draft"


async def test_the_prompt_grows_with_its_text_up_to_ten_lines() -> None:
    async with opened(size=(80, 40)) as window:
        assert window.prompt.size.height == 1
        await window.type("1\n2\n3")
        await window.until(lambda: window.prompt.size.height == 3)
        await window.type("\n".join(map(str, range(20))))
        await window.until(lambda: window.prompt.size.height == 10)
        await window.press("enter")
        await window.until(lambda: window.prompt.size.height == 1)


async def test_the_prompt_leaves_room_in_a_small_window() -> None:
    async with opened(size=(60, 15)) as window:
        await window.type("\n".join(map(str, range(20))))
        await window.until(lambda: window.prompt.size.height == 3)
        assert window.transcript.size.height >= 2
        assert "ctrl+n New" in window.lines[-1]
        await window.until(lambda: "Scripted-1B" in window.status)


def test_history_keeps_a_repeated_prompt_once_and_restores_the_typed_text() -> None:
    past = PromptHistory()
    assert past.move(-1, "typed") is None
    for text in ("a", "a", "b"):
        past.add(text)
    assert past.texts == ["a", "b"]
    assert [past.move(-1, "typed"), past.move(-1, "b"), past.move(-1, "a")] == ["b", "a", None]
    assert [past.move(1, "a"), past.move(1, "b"), past.move(1, "typed")] == ["b", "typed", None]


def test_an_unsent_edit_of_a_history_entry_is_restored() -> None:
    past = PromptHistory(["a", "b"])
    assert past.move(-1, "typed") == "b"
    assert past.move(-1, "b and more") == "a"
    past.reset()  # as after a tab switch or a sent prompt
    assert [past.move(-1, ""), past.move(-1, "typed")] == ["typed", "b and more"]


def keys_of(sequence: str) -> Iterator[str]:
    """Return the keys that Textual parses from the input of a terminal."""
    found: list[Message] = []
    parser = XTermParser()
    found += parser.feed(sequence)
    found += parser.tick()
    return (event.key for event in found if isinstance(event, events.Key))


@pytest.mark.parametrize(
    ("sequence", "key"),
    [
        ("\x1b\r", "alt+enter"),
        ("\x1b\n", "alt+enter"),
        ("\x1b1", "alt+1"),
        ("\x1b9", "alt+9"),
        ("\x1bw", "alt+w"),
        ("\x1bW", "alt+shift+w"),
        ("\x1b[13;3u", "alt+enter"),
        ("\x1b[119;4u", "alt+shift+w"),
        ("\n", "ctrl+j"),
        ("\r", "enter"),
        ("\x1b[1;5S", "ctrl+f4"),
        ("\x1b[5;5~", "ctrl+pageup"),
    ],
)
def test_our_keys_arrive_from_a_terminal(sequence: str, key: str) -> None:
    internals.register_alt_sequences(name for key in ALL_KEYS for name in key.names)
    assert list(keys_of(sequence)) == [key]


async def test_undo_removes_lines_together_with_their_scrollbar() -> None:
    async with opened() as window:
        prompt = window.prompt
        prompt.replace_text("one")
        prompt.history.checkpoint()
        prompt.replace_text("one\ntwo\nthree\nfour")  # no layout has resized the prompt yet
        prompt.action_undo()
        assert (prompt.text, prompt.cursor_location) == ("one", (0, 3))
        prompt.action_undo()
        prompt.move_cursor((0, 0))
        prompt.action_undo()  # nothing to undo: the cursor stays
        assert (prompt.text, prompt.cursor_location) == ("", (0, 0))
