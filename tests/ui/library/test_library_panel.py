"""Tests of the library: searching saved threads, previews, and opening at a message."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.widgets import OptionList

from koel_tui.conversation.backend import Backend
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage, MemoryStorage
from koel_tui.storage.search.thread_index import ThreadIndex
from koel_tui.ui.library import preview
from tests.storage.helpers import encrypted
from tests.ui.library.saved_threads import library, lighthouse, listed, lists, on, storage, titled
from tests.ui.scripted import ScriptedAgent
from tests.ui.transcript.test_untrusted_text import ESC, MARKUP, assert_no_foreign_escape
from tests.ui.window import messages, opened

__all__ = ["storage"]
KEYS = "f2 rename, ctrl+d delete, ctrl+s export, ctrl+t trash"


async def test_titles_are_filtered_at_once_and_the_text_below_them(
    storage: JsonFileStorage,
) -> None:
    await lighthouse(storage)
    await titled(storage, "Lighthouses", "Trees")
    async with on(storage) as window:
        await library(window)
        await lists(window, "Trees", "Lighthouses", "By the sea")
        await window.type("lightho")
        assert listed(window) == ["Lighthouses"]
        await window.sees("in the text")
        await window.sees("A red lamp on the lighthouse of the harbour")
        assert listed(window)[:2] == ["Lighthouses", "in the text"]
        assert "By the sea" in listed(window)
        await window.type("xyz")
        await window.sees("No thread contains these words")
        assert listed(window) == []


async def test_letters_typed_after_enter_take_no_other_thread(storage: JsonFileStorage) -> None:
    await titled(storage, "One", "Two", "Three")
    async with on(storage) as window:
        await library(window)
        await window.press("down", "down", "enter", "h", "r")
        await window.has_tabs("1 One")
        await library(window)
        await window.press("t", "down", "enter", "w")
        await window.has_tabs("1 One", "2 Two")
        await library(window)
        await window.press("down", "down", "h", "ctrl+d")  # deletes the first thread with an h
        await lists(window)
        assert [each.id for each in await storage.trashed()] == ["Three"]


async def test_a_click_on_a_line_of_an_outdated_list_is_ignored(
    storage: JsonFileStorage,
) -> None:
    await titled(storage, "One", "Two", "Three")
    async with on(storage) as window:
        panel = await library(window)
        late = OptionList.OptionSelected(panel._list, panel._list.options[2], 2)
        await window.type("three")
        panel.post_message(late)
        await window.handled()
        assert window.app.screen is panel
        panel.post_message(OptionList.OptionSelected(panel._list, panel._list.options[0], 0))
        await window.has_tabs("1 Three")


async def test_a_hit_opens_its_thread_at_the_message(storage: JsonFileStorage) -> None:
    await lighthouse(storage)
    await titled(storage, "Trees")
    async with on(storage) as window:
        for _ in range(2):  # the second time, the thread is open already
            await library(window)
            await window.type("lamp harbour")
            await lists(window, "in the text", "By the sea")
            await window.press("enter")
            await window.reads("A red lamp on the lighthouse")
            await window.has_tabs("1 By the sea")
            await window.press("ctrl+end")
            await window.reads("nothing number 199")


async def test_a_search_says_when_not_everything_is_read(storage: JsonFileStorage) -> None:
    await titled(storage, "Trees")
    async with on(storage) as window:
        panel = await library(window)
        index = panel._actions.index
        backend = window.app._runtime.backend
        assert index is not None and backend is not None and backend.index_updater is not None
        await backend.index_updater.close()  # its progress would replace the progress below
        window.app._runtime._on_indexed(120, 900)
        async with index._refresh_lock:  # as during a refresh of the index
            await window.type("nothing")
            await window.sees("indexing 120 of 900 threads: hits may be missing")
        window.app._runtime._on_indexed(900, 900)
        await window.misses("hits may be missing")


async def test_the_preview_of_a_large_message_does_not_stop_the_window(
    storage: JsonFileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lighthouse(storage)
    threads: list[threading.Thread] = []
    prepare = preview.preview

    def noted(*parts: Any) -> Content:
        threads.append(threading.current_thread())
        return prepare(*parts)

    monkeypatch.setattr(preview, "preview", noted)
    async with on(storage, size=(140, 30)) as window:
        await library(window)
        await window.sees("nothing number 0")
        await window.type("lamp")
        await window.sees("in the text")
        await window.press("down")
        await window.until(lambda: window.screen.count("A red lamp on") == 2)
    assert threads and threading.main_thread() not in threads


async def test_encrypted_threads_are_searched_in_memory(tmp_path: Path) -> None:
    storage, agent = encrypted(tmp_path / "threads"), ScriptedAgent()
    index = ThreadIndex(storage, tmp_path / "cache")
    await storage.save("sea", messages(2, "the lamp says {n}"))

    def connect() -> Backend:
        return Backend(KoelClient(agent, storage=storage), storage, agent, index=index)

    async with opened(agent=agent, connect=connect) as window:
        await library(window)
        await window.type("lamp")
        await lists(window, "the lamp says 0", "in the text", *["the lamp says 0"] * 2)
    assert index._database._connection is None  # the window has closed the index
    assert not (tmp_path / "cache").exists()


async def test_the_library_reports_a_storage_without_text_search() -> None:
    memory = MemoryStorage()
    await memory.save("t", messages(2))
    async with opened(storage=memory) as window:
        await library(window)
        await window.type("lamp")
        await window.sees("Only titles are searched here")


async def test_a_search_that_fails_says_why(
    storage: JsonFileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("koel_tui.storage.search.database.connect", fail)
    await titled(storage, "Trees")
    async with on(storage) as window:
        await library(window)
        await window.type("trees")
        await window.sees("Only titles were searched.")
        await window.tells("disk I/O error")
        assert listed(window) == ["Trees"]


async def test_the_text_is_found_although_the_index_has_no_directory(
    storage: JsonFileStorage, tmp_path: Path
) -> None:
    await titled(storage, "Trees")
    (tmp_path / "cache").write_text("a file where the folder should be")
    async with on(storage) as window:
        await library(window)
        await window.type("trees")
        await window.sees("Trees says 1")


async def test_a_wide_window_shows_the_messages_of_the_thread(storage: JsonFileStorage) -> None:
    await titled(storage, "Trees")
    await lighthouse(storage)
    async with on(storage, (100, 30)) as window:
        await library(window)
        await window.sees("nothing number 0")
        await window.sees("… 197 more messages …")
        await window.sees("nothing number 199")
        await window.press("down")
        await window.sees("Trees says 1")
        await window.misses("nothing number 0")
        await window.type("lamp")
        await window.sees("nothing number 59")
        await window.sees("nothing number 61")
        await window.pilot.resize_terminal(99, 30)
        await window.misses("nothing number 61")


async def test_damaged_and_locked_threads_are_listed_as_such(
    storage: JsonFileStorage, tmp_path: Path
) -> None:
    await titled(storage, "Bad", "Good", "Held")
    for path in (tmp_path / "threads").glob("*.json"):
        if "Bad" in path.read_text():
            path.write_text("[half")
    other = JsonFileStorage(tmp_path / "threads")
    await other.open("Held")
    async with on(storage) as window:
        await library(window)
        await window.sees("damaged: ")
        await window.sees("open elsewhere · 2 messages")
        await window.press("ctrl+d")
        await window.tells("is open in another koel-chat")
        await window.press("down", "down", "enter")  # wraps around past the damaged thread
        await window.until(lambda: "Held says 0" in window.shown)
        assert "open in another" in window.app._workspace.active.read_only_reason
    await other.close("Held")


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (100, 30)])
async def test_the_library_fits_the_window(storage: JsonFileStorage, size: tuple[int, int]) -> None:
    await titled(storage, *(f"Thread {n} {'of a long title ' * 5}" for n in range(30)))
    async with on(storage, size) as window:
        panel = await library(window)
        await window.sees(f"{KEYS} ")
        await window.sees("enter opens · esc closes")
        await window.press("ctrl+d")
        await window.sees("ctrl+z undo · enter opens")
        await window.press(*["down"] * 28)
        await window.sees("Thread 0 of a long")
        await window.press(*["up"] * 12, "ctrl+d")
        await window.until(lambda: len(listed(window)) == 28, "one less")
        await window.sees(" Thread 11 of a long")  # the line at the cursor
        assert panel._under_cursor == panel._choices[16]
        await window.type("says")
        await window.sees("in the text")
        await window.until(lambda: len(listed(window)) > 30, "hits")
        assert window.app.screen.region.contains_region(panel._panel.region)
        assert {len(line) for line in window.lines} == {size[0]}
        bottom = panel._list.region.bottom
        assert bottom <= panel._keys.region.y < panel._panel.region.bottom - 1


async def test_titles_and_text_are_shown_without_markup_and_control_bytes(
    storage: JsonFileStorage,
) -> None:
    hostile = f"needle {ESC} \u202e {' '.join(MARKUP)} end"
    await storage.save("h", messages(3, hostile))
    await storage.update_meta("h", title=f"title {hostile}")
    async with on(storage, (160, 30)) as window:
        panel = await library(window)
        await window.type("needle")
        await window.sees("in the text")
        await window.sees("␇ ⟦RLO⟧ [/x] [@click=app.quit]x[/] […")
        await window.until(lambda: "\\[ [red $x end" in window.screen, "the preview")
        assert_no_foreign_escape(window)
        await window.press("f2")
        await window.sees("enter saves")
        assert_no_foreign_escape(window)
        await window.press("enter")
        await window.until(lambda: not panel._acting, "a saved title")
        await window.press("ctrl+d")
        await window.sees("is in the trash")
        await window.press("ctrl+t")
        await window.sees("enter restores it")
        assert_no_foreign_escape(window)
        assert "\u202e" not in window.screen
