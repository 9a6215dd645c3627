"""The saved threads in their list: found, looked into, opened at a message, changed."""

import asyncio
import json
import os
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.widgets import OptionList, Static

from koel_tui.agents import Snapshots
from koel_tui.protocol import ChatState, Message
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage, MemoryStorage, StorageError
from koel_tui.storage.search import Hit, ThreadIndex
from koel_tui.storage.search_upkeep import IndexUpkeep
from koel_tui.ui import thread_actions
from koel_tui.ui.backend import Backend
from koel_tui.ui.hits import FOUND, excerpt
from koel_tui.ui.library import Library
from koel_tui.ui.preview import preview
from tests.storage.helpers import encrypted
from tests.ui.scripted import ScriptedAgent
from tests.ui.test_untrusted import ESC, MARKUP, assert_no_foreign_escape
from tests.ui.window import Window, messages, opened

KEYS = "f2 rename · ^d delete · ^s export · ^t trash"


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
        upkeep = IndexUpkeep(storage, index, quiet=0.01)
        return Backend(KoelClient(agent, storage=storage), storage, agent, upkeep, index)

    return opened(size=size, agent=agent, connect=connect)


async def titled(storage: JsonFileStorage, *titles: str) -> None:
    """Save a thread of two messages for each title, which is its id too; the last is newest."""
    for title in titles:
        await storage.save(title, messages(2, f"{title} says {{n}}"))
        await storage.update_meta(title, title=title)


async def lighthouse(storage: JsonFileStorage) -> None:
    """Save a long thread with one message to be found."""
    said = list(messages(200, "nothing number {n}").messages)
    said[60] = Message("m60", "user", "A red lamp on the lighthouse of the harbour")
    await storage.save("sea", ChatState(messages=tuple(said)))
    await storage.update_meta("sea", title="By the sea")


async def library(window: Window) -> Library:
    await window.connected()
    await window.press("ctrl+o")
    await window.until(lambda: isinstance(window.app.screen, Library))
    await window.sees("esc leaves")
    assert isinstance(window.app.screen, Library)
    return window.app.screen


def listed(window: Window) -> list[str]:
    """Return what stands in the list of threads, top to bottom, without what is said beside it."""
    options = window.app.screen_stack[1].query_one("#choices", OptionList).options
    return [str(option.prompt).partition("  ")[0].strip() for option in options]


async def lists(window: Window, *titles: str) -> None:
    await window.until(lambda: listed(window) == list(titles), f"{titles} listed")


async def told(window: Window, text: str) -> None:
    """Wait until a toast says this."""

    def toasts() -> list[str]:
        return [str(toast.render()) for toast in window.app.screen.query("Toast").results(Static)]

    await window.until(lambda: any(text in toast for toast in toasts()), text)


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
        await window.sees("No thread has these words")
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
        await window.press("down", "down", "h", "ctrl+d")  # of those with an h the first
        await lists(window)
        assert [each.id for each in await storage.trashed()] == ["Three"]


async def test_a_line_clicked_in_a_list_that_is_another_by_now_is_not_taken(
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
        for _ in range(2):  # the second time it is open already
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
        assert index is not None
        window.app._startup._indexed(120, 900)
        async with index._reading:  # as while others read
            await window.type("nothing")
            await window.sees("indexing 120 of 900 threads: hits may be missing")
        window.app._startup._indexed(900, 900)
        await window.misses("hits may be missing")


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
    assert index._database._connection is None  # the window closes what it was given
    assert not (tmp_path / "cache").exists()


async def test_where_nothing_can_be_searched_the_list_says_so() -> None:
    memory = MemoryStorage()
    await memory.save("t", messages(2))
    async with opened(storage=memory) as window:
        await library(window)
        await window.type("lamp")
        await window.sees("Only titles are searched here")


async def test_a_search_that_fails_says_why(storage: JsonFileStorage, tmp_path: Path) -> None:
    await titled(storage, "Trees")
    (tmp_path / "cache").write_text("a file where the folder should be")
    async with on(storage) as window:
        await library(window)
        await window.type("trees")
        await window.sees("Only titles were searched.")
        await told(window, "Check the path and its permissions.")
        assert listed(window) == ["Trees"]


async def test_a_wide_window_shows_what_is_said_in_the_thread(storage: JsonFileStorage) -> None:
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
        await window.sees("at least one letter")
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
        await window.until(lambda: not window.app._desk.active.unsaved)
        assert (await storage.meta("Trees"))["title"] == "[red]Oaks[/]"
        assert not storage.conflicts


async def test_deleted_threads_come_back_by_undo_and_from_the_trash(
    storage: JsonFileStorage,
) -> None:
    await titled(storage, "One", "Two", "Three")
    async with on(storage) as window:
        await library(window)
        await window.press("ctrl+z")
        await window.sees("Nothing was deleted here")
        await window.press("down", "ctrl+d")
        await lists(window, "Three", "One")
        await window.sees("“Two” is in the trash, ^z undoes that")
        await window.press("ctrl+d")
        await lists(window, "Three")
        assert [each.id for each in await storage.trashed()] == ["One", "Two"]
        await window.press("ctrl+z")
        await lists(window, "Three", "One")
        await window.press("ctrl+t")
        await window.sees("enter brings it back")
        await window.press("enter")
        await lists(window, "Three", "Two", "One")
        await window.sees("“Two” is back")
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
        await told(window, "Close that tab first")
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
    """Does what it is asked to at the next `go`."""

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


async def test_a_list_that_is_left_leaves_nothing_half_deleted() -> None:
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
        await window.until(lambda: not window.app._desk._closed, "the closed tab forgotten")
        panel = await library(window)
        await window.sees("^z undo")  # as in the list that was left
        await window.press("ctrl+z")
        await window.sees("“Two says 0” is back")
        assert panel._actions.deleted == []


async def test_a_list_that_is_left_leaves_no_tab_with_another_title() -> None:
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
        await told(window, "The disk is full.")


async def test_the_window_ends_when_what_was_begun_is_done() -> None:
    storage = await slow()
    async with opened(storage=storage) as window:
        panel = await library(window)
        await window.press("ctrl+d")
        await asyncio.wait_for(storage.asked.wait(), 5)
        await window.press("ctrl+q")
        await window.sees("Saving…")
        assert panel._actions._under_way
        storage.go.set()
        await window.until(lambda: not window.app.is_running)
    assert not panel._actions._under_way and panel._actions.deleted


async def test_a_thread_that_another_program_deleted_is_not_made_anew(
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
        await told(window, "It cannot be read any more.")
    assert await storage.summaries() == []


async def test_only_its_own_tab_keeps_a_thread_from_being_deleted(
    storage: JsonFileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_actions, "PATIENCE", 0.05)
    await titled(storage, "One", "Two")
    async with on(storage) as window:
        await library(window)
        saving = asyncio.create_task(asyncio.sleep(60))
        window.app._desk._closing["Two"] = saving
        await window.press("ctrl+d")
        await told(window, "is still being saved")
        await window.press("down", "ctrl+d")
        await lists(window, "Two")
        saving.cancel()
        del window.app._desk._closing["Two"]


async def test_what_the_model_read_of_a_deleted_thread_is_forgotten(
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


@pytest.mark.parametrize(
    ("moves", "name", "begins"),
    [(0, "Trees.md", "# Trees"), (1, "Trees.html", "<!"), (2, "Trees.json", "{")],
)
async def test_a_thread_is_exported_to_a_new_file(
    storage: JsonFileStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moves: int,
    name: str,
    begins: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("mine")
    await titled(storage, "Trees")
    async with on(storage) as window:
        await library(window)
        await window.press("ctrl+s")
        await window.sees("Export as")
        await window.press(*["down"] * moves, "enter")
        await window.sees(name)
        await window.press("enter")
        await window.sees("is there already")
        await window.press("home")
        await window.type("new")
        await window.press("enter")
        await window.sees("Saved in")
    assert (tmp_path / name).read_text() == "mine"
    text = (tmp_path / f"new{name}").read_text()
    assert text.startswith(begins) and "Trees says 1" in text


async def test_what_is_exported_of_an_open_thread_is_what_the_window_shows(
    storage: JsonFileStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading the file instead would let the next save write over what another program wrote."""
    monkeypatch.chdir(tmp_path)
    await titled(storage, "Trees")
    async with on(storage, (100, 30)) as window:
        await library(window)
        await window.press("enter")
        await window.has_tabs("1 Trees")
        file = next((tmp_path / "threads").glob("*.json"))
        theirs = file.read_text().replace("Trees says 1", "Others say so")
        assert "Others" in theirs
        file.write_text(theirs)
        await library(window)
        await window.until(lambda: "Trees says 1" in window.screen, "the preview")
        await window.press("ctrl+s")
        await window.sees("Export as")
        await window.press("enter")
        await window.sees("enter saves")
        await window.press("enter")
        await window.sees("Saved in")
        await window.press("escape")
        (await window.ask("More")).finish()
        await window.until(lambda: bool(storage.conflicts), "a file beside the other program's")
    assert "Trees says 1" in (tmp_path / "Trees.md").read_text()
    assert file.read_text() == theirs


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
        await told(window, "is open in another koel-chat")
        await window.press("down", "down", "enter")  # round past the damaged one
        await window.until(lambda: "Held says 0" in window.shown)
        assert "open in another" in window.app._desk.active.read_only
    await other.close("Held")


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (100, 30)])
async def test_the_list_fits(storage: JsonFileStorage, size: tuple[int, int]) -> None:
    await titled(storage, *(f"Thread {n} {'of a long title ' * 5}" for n in range(30)))
    async with on(storage, size) as window:
        panel = await library(window)
        await window.sees(f"{KEYS} ")
        await window.sees("enter opens · esc leaves")
        await window.press("ctrl+d")
        await window.sees(f"{KEYS} · ^z undo")
        await window.press(*["down"] * 28)
        await window.sees("Thread 0 of a long")
        await window.press(*["up"] * 12, "ctrl+d")
        await window.until(lambda: len(listed(window)) == 28, "one less")
        await window.sees(" Thread 11 of a long")  # where the cursor was
        assert panel._under_cursor == panel._choices[16]
        await window.type("says")
        await window.sees("in the text")
        await window.until(lambda: len(listed(window)) > 30, "hits")
        assert window.app.screen.region.contains_region(panel._panel.region)
        assert {len(line) for line in window.lines} == {size[0]}
        bottom = panel._list.region.bottom
        assert bottom <= panel._keys.region.y < panel._panel.region.bottom - 1


async def test_titles_and_text_are_no_markup_and_no_control_bytes(storage: JsonFileStorage) -> None:
    hostile = f"needle {ESC} \u202e {' '.join(MARKUP)} end"
    await storage.save("h", messages(3, hostile))
    await storage.update_meta("h", title=f"title {hostile}")
    async with on(storage, (160, 30)) as window:
        panel = await library(window)
        await window.type("needle")
        await window.sees("in the text")
        await window.sees("␇ ⟦RLO⟧ [/x] [@click=app.quit]x[/] [bold]b[/bold]…")
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
        await window.sees("enter brings it back")
        assert_no_foreign_escape(window)
        assert "\u202e" not in window.screen


async def test_the_trash_is_emptied_of_what_is_old_at_the_start(
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


async def test_a_trash_that_cannot_be_emptied_ends_nothing() -> None:
    class Failing(MemoryStorage):
        async def empty_trash(self, older_than: timedelta = timedelta(0)) -> int:
            raise OSError("no")

    async with opened(storage=Failing()) as window:
        (await window.ask("Still there?")).finish()


def hit(snippet: str, *words: str) -> Hit:
    spans = tuple((snippet.index(word), snippet.index(word) + len(word)) for word in words)
    return Hit("t", "title", "m", "user", snippet, spans, datetime.now(UTC))


def marked(content: Content) -> list[str]:
    return [content.plain[span.start : span.end] for span in content.spans if span.style == FOUND]


@pytest.mark.parametrize(
    ("width", "shown", "words"),
    [
        (60, "…down to the harbour, where a lamp burns…", ["harbour", "lamp"]),
        (30, "…n to the harbour, where a la…", ["harbour", "la"]),
        (14, "…he harbour,…", ["harbour"]),
    ],
)
def test_an_excerpt_keeps_the_first_word_in_sight(width: int, shown: str, words: list[str]) -> None:
    found = hit("…down to the\nharbour, where a lamp burns…", "harbour", "lamp")
    content = excerpt(found, width)
    assert content.plain == shown and marked(content) == words


def test_a_preview_of_a_hit_is_what_is_said_round_it() -> None:
    text = f"{'before ' * 100}the [red]lamp[/red]\x1b burns{' behind' * 400}"
    content = preview([Message("m", "user", text)], hit("…the [red]lamp[/red]\x1b burns…", "lamp"))
    assert marked(content) == ["lamp"]
    assert "the [red]lamp[/red]␛ burns behind" in content.plain
    assert content.plain.startswith("You\n…") and content.plain.endswith("…")
    assert len(content.plain) < 1500
