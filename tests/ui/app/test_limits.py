"""Tests of the limits of the window: an exceeded limit is reported, and nothing is lost."""

import asyncio
import os
from pathlib import Path

import pytest
from textual.widgets import Input

from koel_tui import limits
from koel_tui.conversation.drafts import Draft
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import MemoryStorage
from koel_tui.workspace import workspace
from koel_tui.workspace.open_tabs import MAX_SAVED_TABS, OpenTab, OpenTabs, decode
from koel_tui.workspace.open_tabs_file import OpenTabsFile
from koel_tui.workspace.prompt_history_file import MAX_ENTRIES, PromptHistoryFile
from koel_tui.workspace.window_state import WindowState
from tests.ui.window import opened


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits of messages and queues so that a test can reach them."""
    monkeypatch.setattr(limits, "MAX_MESSAGE_CHARACTERS", 5000)
    monkeypatch.setattr(limits, "MAX_FIELD_CHARACTERS", 100)
    monkeypatch.setattr(limits, "MAX_QUEUED", 3)


@pytest.mark.usefixtures("small")
async def test_a_message_that_is_too_long_is_restored_whole() -> None:
    async with opened(size=(120, 24)) as window:
        for letter in "ab":
            await window.type(letter * 4000)
        await window.press("enter")
        await window.reads("The message has 8,000 characters, and the limit is 5,000.")
        assert window.prompt.whole_text == "a" * 4000 + "b" * 4000
        assert window.agent.turns == []
        await window.press("backspace", "enter")
        await window.until(lambda: bool(window.agent.turns))
        assert window.agent.turns[0].prompt == "a" * 4000


@pytest.mark.usefixtures("small")
async def test_a_paste_that_is_too_long_is_refused_and_reported() -> None:
    async with opened(size=(120, 24)) as window:
        await window.type("before ")
        await window.type("x" * 5001)
        await window.tells("The pasted text has 5,001 characters, and the limit is 5,000.")
        await window.type("after")
        await window.prompts("before after")
        await window.press("ctrl+o")
        await window.sees("esc closes")
        await window.type("y" * 101)
        await window.tells("The pasted text has 101 characters, and the limit is 100.")
        assert window.app.screen.query_one(Input).value == ""


@pytest.mark.usefixtures("small")
async def test_a_full_queue_refuses_a_message_and_restores_it_to_the_prompt() -> None:
    async with opened(size=(120, 24)) as window:
        turn = await window.ask("first")
        for number in range(4):
            await window.type(f"waits {number}")
            await window.press("enter")
        await window.reads("3 messages are queued already.")
        await window.prompts("waits 3")
        assert list(window.app._workspace.active.queue) == ["waits 0", "waits 1", "waits 2"]
        turn.finish()
        await window.until(lambda: len(window.agent.turns) == 2)


async def test_the_number_of_open_tabs_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "MAX_TABS", 3)
    storage = MemoryStorage()
    for name in "abc":
        await storage.save(name, ChatState(messages=(Message("u", "user", f"said {name}"),)))
    async with opened(size=(120, 24), storage=storage) as window:
        for name in "12":
            (await window.ask(name)).finish()
            await window.until(lambda: not window.app._workspace.active.is_busy)
            await window.press("ctrl+n")
        await window.has_tabs("1 1", "2 2", "3 New thread")
        await window.type("a draft")
        await window.press("ctrl+n")
        await window.tells("3 tabs are open, the maximum. Close one first.")
        for key, panel in (("alt+s", "Side by side"), ("ctrl+o", "Saved threads")):
            window.app.clear_notifications()
            await window.press(key)
            await window.sees(panel)
            if key == "ctrl+o":
                await window.type("said c")
                await window.misses("said a")
            await window.press("enter")
            await window.tells("3 tabs are open")
            await window.until(lambda: len(window.app.screen_stack) == 1)
        await window.prompts("a draft")
        assert len(window.tabs) == 3


async def test_a_closed_tab_stays_to_be_reopened_while_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened(size=(120, 24)) as window:
        await window.type("kept")
        await window.press("alt+w")
        await window.prompts("")
        monkeypatch.setattr(workspace, "MAX_TABS", 1)
        await window.type("other")
        await window.press("alt+shift+w")
        await window.tells("1 tabs are open")
        monkeypatch.setattr(workspace, "MAX_TABS", 2)
        await window.press("alt+shift+w")
        await window.prompts("kept")


async def test_only_the_newest_notices_are_shown() -> None:
    async with opened(size=(120, 40)) as window:
        for number in range(50):
            window.app.notify(f"notice {number}")
        await window.tells("notice 49")
        await window.until(lambda: len(window.toasts) == limits.MAX_TOASTS)
        assert "notice 44" in window.toasts[0]


def test_a_list_of_tabs_that_is_too_long_is_renamed(tmp_path: Path) -> None:
    tabs = tuple(OpenTab(None, "", Draft(f"draft {n}")) for n in range(MAX_SAVED_TABS + 1))
    (tmp_path / "tabs-1.json").write_bytes(OpenTabs(tabs).encode())
    file = OpenTabsFile(tmp_path)
    assert file.open() == OpenTabs()
    assert "1001 tabs, and 1000 is the most" in file.problems[0] and "kept as" in file.problems[0]
    (damaged_file,) = tmp_path.glob("*.damaged")
    assert b"draft 1000" in damaged_file.read_bytes()
    file.close()
    assert len(decode(OpenTabs(tabs[:-1]).encode()).tabs) == MAX_SAVED_TABS


def test_a_file_of_tabs_that_is_too_large_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("koel_tui.workspace.open_tabs_file.MAX_BYTES", 1000)
    (tmp_path / "tabs-1.json").write_bytes(b" " * 1001)
    file = OpenTabsFile(tmp_path)
    assert file.open() == OpenTabs()
    assert "is larger than 0 KB" in file.problems[0]
    file.close()


def test_only_the_end_of_a_very_long_history_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"text": "%s"}\n' % (b"x" * 1000) * 3000 + b'{"text": "new"}\n')
    history = PromptHistoryFile(path)
    assert len(history.read()) == MAX_ENTRIES and history.read()[-1] == Draft("new")
    history.append(Draft("newest"))
    assert path.stat().st_size < 1_000_000


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["history.jsonl", "tabs-1.json"])
async def test_a_pipe_where_a_file_was_is_reported_and_not_waited_for(
    tmp_path: Path, name: str
) -> None:
    os.mkfifo(tmp_path / name)
    problems: list[str] = []
    memory = WindowState(tmp_path, problems.append)
    await asyncio.wait_for(memory.load_tabs(), 5)
    await asyncio.wait_for(memory.load_history(), 5)
    await memory.close(OpenTabs())
    assert len(problems) == 1 and "not a regular file" in problems[0]


@pytest.mark.slow
async def test_a_prompt_of_the_maximum_length_is_sent() -> None:
    async with opened() as window:
        await window.type("x" * limits.MAX_MESSAGE_CHARACTERS)
        await window.until(lambda: window.prompt.text.startswith("[pasted"))
        await window.press("enter")
        await window.until(lambda: bool(window.agent.turns))
        assert window.agent.turns[0].prompt == "x" * limits.MAX_MESSAGE_CHARACTERS
        window.agent.turns[0].finish()
