"""Tests of the library: threads are renamed, moved to the trash and restored."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from koel_tui.agents import Snapshots
from koel_tui.conversation.backend import Backend
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage, MemoryStorage, StorageError
from koel_tui.workspace import thread_operations
from tests.ui.library.saved_threads import library, listed, lists, on, storage, titled
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import messages, opened

__all__ = ["storage"]


async def test_a_thread_gets_another_title_and_so_does_its_tab(storage: JsonFileStorage) -> None:
    await titled(storage, "Trees", "Birds")
    async with on(storage) as window:
        await library(window)
        await window.press("down", "enter")
        await window.has_tabs("1 Trees")
        await library(window)
        await window.sees("open · 2 messages")
        await window.press("down", "f2")
        await window.sees("enter saves")
        await window.press("ctrl+u", "enter")
        await window.sees("at least one character")
        await window.type("[red]Oaks[/]")
        await window.press("enter")
        await lists(window, "Birds", "[red]Oaks[/]")
        await window.press("f2")
        await window.sees("enter saves")
        await window.press("escape")
        await window.misses("enter saves")
        await window.press("escape")
        await window.has_tabs("1 [red]Oaks[/]")
        (await window.ask("More")).finish()
        await window.until(lambda: not window.app._workspace.active.is_unsaved)
        assert (await storage.meta("Trees"))["title"] == "[red]Oaks[/]"
        assert not storage.conflicts


async def test_deleted_threads_are_restored_by_undo_and_from_the_trash(
    storage: JsonFileStorage,
) -> None:
    await titled(storage, "One", "Two", "Three")
    async with on(storage) as window:
        await library(window)
        await window.press("ctrl+z")
        await window.sees("There is no deleted thread to restore.")
        await window.press("down", "ctrl+d")
        await lists(window, "Three", "One")
        await window.sees("“Two” is in the trash. ctrl+z restores it.")
        await window.press("ctrl+d")
        await lists(window, "Three")
        assert [each.id for each in await storage.trashed()] == ["One", "Two"]
        await window.press("ctrl+z")
        await lists(window, "Three", "One")
        await window.press("ctrl+t")
        await window.sees("enter restores it")
        await window.press("enter")
        await lists(window, "Three", "Two", "One")
        await window.sees("“Two” is restored.")
        await window.press("ctrl+t")
        await window.sees("The trash is empty")
        await window.press("escape")
        await window.press("enter")
        await window.has_tabs("1 Two")


async def test_a_thread_open_in_a_tab_is_not_deleted_and_a_closed_one_not_reopened(
    storage: JsonFileStorage,
) -> None:
    await titled(storage, "One", "Two")
    async with on(storage) as window:
        await library(window)
        await window.press("enter")
        await window.has_tabs("1 Two")
        await library(window)
        await window.press("ctrl+d")
        await window.tells("Close that tab first")
        assert listed(window) == ["Two", "One"]
        await window.press("escape", "alt+w")
        await window.has_tabs("1 New thread")
        await library(window)
        await window.press("ctrl+d")
        await lists(window, "One")
        await window.press("escape", "alt+shift+w")
        await window.has_tabs("1 New thread")
        assert not await storage.load("Two")


class Slow(MemoryStorage):
    """A storage whose renames and deletions end only after `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.asked = asyncio.Event()

    async def trash(self, thread_id: str) -> None:
        await super().trash(thread_id)
        self.asked.set()
        await self.go.wait()

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        self.asked.set()
        await self.go.wait()
        if fields.get("title") == "Fails":
            raise StorageError("The disk is full.")
        await super().update_meta(thread_id, **fields)


async def slow() -> Slow:
    storage = Slow()
    for name in ("One", "Two"):
        await storage.save(name, messages(2, f"{name} says {{n}}"))
    return storage


async def test_a_deletion_is_completed_after_its_list_is_closed() -> None:
    storage = await slow()
    async with opened(storage=storage) as window:
        await library(window)
        await window.press("enter")
        await window.has_tabs("1 Two says 0")
        await window.press("alt+w")
        await window.has_tabs("1 New thread")
        await library(window)
        await window.press("ctrl+d")
        await asyncio.wait_for(storage.asked.wait(), 5)
        await window.press("escape")
        await window.until(lambda: len(window.app.screen_stack) == 1)
        storage.go.set()
        await window.until(lambda: not window.app._workspace._closed, "the closed tab forgotten")
        panel = await library(window)
        await window.sees("ctrl+z undo")  # as in the list that was closed
        await window.press("ctrl+z")
        await window.sees("“Two says 0” is restored.")
        assert panel._actions.deleted_threads == []


async def test_a_rename_is_completed_after_its_list_is_closed() -> None:
    storage = await slow()
    async with opened(storage=storage) as window:
        await library(window)
        await window.press("enter")
        await window.has_tabs("1 Two says 0")
        for title in ("Birds", "Fails"):
            storage.asked.clear()
            storage.go.clear()
            await library(window)
            await window.press("f2")
            await window.sees("enter saves")
            await window.press("ctrl+u")
            await window.type(title)
            await window.press("enter")
            await asyncio.wait_for(storage.asked.wait(), 5)
            await window.press("escape")
            await window.until(lambda: len(window.app.screen_stack) == 1)
            storage.go.set()
            await window.has_tabs("1 Birds")
        await window.tells("The disk is full.")


async def test_the_window_ends_after_a_started_deletion_is_complete() -> None:
    storage = await slow()
    async with opened(storage=storage) as window:
        panel = await library(window)
        await window.press("ctrl+d")
        await asyncio.wait_for(storage.asked.wait(), 5)
        await window.press("ctrl+q")
        await window.sees("Saving…")
        assert panel._actions._running
        storage.go.set()
        await window.until(lambda: not window.app.is_running)
    assert not panel._actions._running and panel._actions.deleted_threads


async def test_a_thread_that_another_program_deleted_is_not_created_again(
    storage: JsonFileStorage,
) -> None:
    await titled(storage, "Trees")
    async with on(storage) as window:
        await library(window)
        await JsonFileStorage(storage.directory).trash("Trees")
        await window.press("f2")
        await window.sees("enter saves")
        await window.type("x")
        await window.press("enter")
        await window.tells("The thread can no longer be read.")
    assert await storage.summaries() == []


async def test_only_its_own_tab_keeps_a_thread_from_being_deleted(
    storage: JsonFileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_operations, "CLOSE_TIMEOUT", 0.05)
    await titled(storage, "One", "Two")
    async with on(storage) as window:
        await library(window)
        saving = asyncio.create_task(asyncio.sleep(60))
        window.app._workspace._closing["Two"] = saving
        await window.press("ctrl+d")
        await window.tells("is still being saved")
        await window.press("down", "ctrl+d")
        await lists(window, "Two")
        saving.cancel()
        del window.app._workspace._closing["Two"]


async def test_the_snapshot_of_a_deleted_thread_is_deleted(
    storage: JsonFileStorage, tmp_path: Path
) -> None:
    await titled(storage, "One", "Two")
    agent, kept = ScriptedAgent(), Snapshots(tmp_path)
    for thread in ("One", "Two"):
        kept.path(thread).write_text("said in clear")

    def connect() -> Backend:
        return Backend(KoelClient(agent, storage=storage), storage, agent, snapshots=kept)

    async with opened(agent=agent, connect=connect) as window:
        await library(window)
        await window.press("ctrl+d")
        await lists(window, "One")
        assert (kept.find("Two"), kept.find("One")) == (None, kept.path("One"))


async def test_the_start_deletes_old_threads_from_the_trash(
    storage: JsonFileStorage, tmp_path: Path
) -> None:
    await titled(storage, "Old", "New")
    await storage.trash("Old")
    await storage.trash("New")
    then = (datetime.now(UTC) - timedelta(days=30, minutes=1)).timestamp()
    for path in (tmp_path / "threads" / "trash").glob("*.json"):
        if json.loads(path.read_text())["id"] == "Old":
            os.utime(path, (then, then))
    async with on(storage) as window:
        await window.connected()
        trash = tmp_path / "threads" / "trash"
        await window.until(lambda: len(list(trash.glob("*.json"))) == 1, "the old one gone")
    assert [each.id for each in await storage.trashed()] == ["New"]


async def test_a_trash_that_cannot_be_emptied_does_not_end_the_window() -> None:
    class Failing(MemoryStorage):
        async def empty_trash(self, older_than: timedelta = timedelta(0)) -> int:
            raise OSError("no")

    async with opened(storage=Failing()) as window:
        (await window.ask("Still there?")).finish()


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(40))
async def test_the_window_ends_while_a_panel_of_the_list_opens(
    storage: JsonFileStorage, attempt: int
) -> None:
    await titled(storage, "Trees")
    async with on(storage) as window:
        await library(window)
        await window.press("ctrl+d")
        await window.sees("is in the trash")
        await window.press("ctrl+t")
        if attempt % 2:
            await window.sees("restores it")
