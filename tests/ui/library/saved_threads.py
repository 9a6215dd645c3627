"""Helpers of the library tests: saved threads to find, and the text of their list."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from textual.widgets import OptionList

from koel_tui.conversation.backend import Backend
from koel_tui.protocol import ChatState, Message
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.search.index_updater import IndexUpdater
from koel_tui.storage.search.thread_index import ThreadIndex
from koel_tui.ui.library.library_panel import LibraryPanel
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, messages, opened


@pytest.fixture
def storage(tmp_path: Path) -> JsonFileStorage:
    return JsonFileStorage(tmp_path / "threads")


def on(
    storage: JsonFileStorage, size: tuple[int, int] = (80, 24)
) -> AbstractAsyncContextManager[Window]:
    """Open a window whose threads can be searched."""
    agent = ScriptedAgent()

    def connect() -> Backend:
        index = ThreadIndex(storage, storage.directory.parent / "cache")
        upkeep = IndexUpdater(storage, index, delay=0.01)
        return Backend(KoelClient(agent, storage=storage), storage, agent, upkeep, index)

    return opened(size=size, agent=agent, connect=connect)


async def titled(storage: JsonFileStorage, *titles: str) -> None:
    """Save a thread of two messages for each title, which is also its id; the last is newest."""
    for title in titles:
        await storage.save(title, messages(2, f"{title} says {{n}}"))
        await storage.update_meta(title, title=title)


async def lighthouse(storage: JsonFileStorage) -> None:
    """Save a long thread in which only one message matches a search."""
    said = list(messages(200, "nothing number {n}").messages)
    said[60] = Message("m60", "user", "A red lamp on the lighthouse of the harbour")
    await storage.save("sea", ChatState(messages=tuple(said)))
    await storage.update_meta("sea", title="By the sea")


async def library(window: Window) -> LibraryPanel:
    await window.connected()
    await window.press("ctrl+o")
    await window.until(lambda: isinstance(window.app.screen, LibraryPanel))
    await window.sees("esc closes")
    assert isinstance(window.app.screen, LibraryPanel)
    return window.app.screen


def listed(window: Window) -> list[str]:
    """Return the titles in the list of threads from top to bottom, without their details."""
    options = window.app.screen_stack[1].query_one("#choices", OptionList).options
    return [str(option.prompt).partition("  ")[0].strip() for option in options]


async def lists(window: Window, *titles: str) -> None:
    await window.until(lambda: listed(window) == list(titles), f"{titles} listed")
