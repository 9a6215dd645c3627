"""Tests of enter after a word with an @: it sends the message or attaches a file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from textual import events

from tests.ui.window import Window, opened

FILES = ("property_list.py", "docs/readme.md", "docs/database_classes.py", "team/bob.txt")


@pytest_asyncio.fixture
async def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Window]:
    """A window in a directory with `FILES`."""
    for name in FILES:
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text\n")
    monkeypatch.chdir(tmp_path / "project")
    async with opened() as window:
        await window.connected()
        yield window


async def types(window: Window, text: str) -> None:
    """Press the keys of `text` without a pause."""
    for char in text:
        key = {"@": "at", "\n": "enter", " ": "space"}.get(char, char)
        window.app.post_message(events.Key(key, None if char == "\n" else char))
    await window.handled()


async def is_sent(window: Window, text: str) -> None:
    """Wait until the next run has this prompt, and end it."""
    await window.until(lambda: bool(window.agent.turns), f"a run: {text}")
    turn = window.agent.turns.pop()
    assert turn.prompt == text
    await window.prompts("")
    turn.finish()


async def attaches(window: Window, text: str) -> None:
    """Wait until the prompt begins with this text, which contains the name of a file."""
    await window.until(lambda: window.prompt.text.startswith(text), f"{text} in the prompt")


@pytest.mark.parametrize(
    "text",
    [
        "Explain @dataclass",  # scattered letters of database_classes.py
        "What is @list",  # within the name of property_list.py
        "mail bob @ home",
        "mail bob@readme",
        "ask @dr",  # scattered letters of docs/readme.md
        "What does the operator @",
        "see (@eadme",
        "@nobody",
    ],
)
async def test_report_14_enter_sends_text_that_names_no_file(window: Window, text: str) -> None:
    await types(window, f"{text}\n")
    await is_sent(window, text)


@pytest.mark.parametrize("typed", ["@prop", "@PROPERTY", "@property_list.py"])
async def test_report_14_enter_attaches_a_file_that_begins_with_the_typed_word(
    window: Window, typed: str
) -> None:
    await types(window, f"Read {typed}\n")
    await attaches(window, "Read [property_list.py ·")
    assert not window.agent.turns


async def test_report_14_a_directory_can_be_typed(window: Window) -> None:
    await types(window, "@team/b\n")
    await attaches(window, "[bob.txt ·")


@pytest.mark.parametrize("keys", [("tab",), ("down", "up", "enter"), ("down", "up", "tab")])
async def test_report_14_a_file_that_was_chosen_is_attached(
    window: Window, keys: tuple[str, ...]
) -> None:
    await types(window, "Read @dataclass")
    await window.sees("tab attaches · enter sends · esc closes")
    await window.press(*keys)
    await attaches(window, "Read [database_classes.py ·")
    assert not window.agent.turns


async def test_report_14_the_hint_describes_the_enter_key(window: Window) -> None:
    await types(window, "@data")
    await window.sees("enter attaches · esc closes")
    await types(window, "cl")
    await window.sees("tab attaches · enter sends · esc closes")
    await window.press("down")
    await window.sees("enter attaches · esc closes")
    await types(window, "a")
    await window.sees("tab attaches · enter sends · esc closes")
    await types(window, "ss\n")
    await is_sent(window, "@dataclass")


@pytest.mark.parametrize("text", ["@media", "@property", "@docs/readme.md", "a\n@prop"])
async def test_report_14_a_pasted_word_is_sent(window: Window, text: str) -> None:
    await window.type(text)
    await window.press("enter")
    await is_sent(window, text)


async def test_report_14_a_paste_after_an_at_is_sent(window: Window) -> None:
    await types(window, "@")
    await window.type("property")
    await window.press("enter")
    await is_sent(window, "@property")
