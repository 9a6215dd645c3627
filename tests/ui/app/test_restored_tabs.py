"""Tests that the tabs of the last run are restored with the text that was typed in them."""

import asyncio
import json
from pathlib import Path

from textual import events

from koel_tui.conversation.drafts import Draft
from koel_tui.protocol import ChatState
from koel_tui.storage import JsonFileStorage, MemoryStorage
from koel_tui.ui.app.tab_bar import MAX_MOUNTED
from koel_tui.workspace.open_tabs import OpenTab, OpenTabs, decode
from koel_tui.workspace.open_tabs_file import OpenTabsFile
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, messages, opened

LONG = "\n".join(f"line {n}" for n in range(120))


class CountingStorage(MemoryStorage):
    """Records which threads are loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    async def load(self, thread_id: str) -> ChatState | None:
        self.loaded.append(thread_id)
        return await super().load(thread_id)


async def saved(count: int) -> CountingStorage:
    """Return a storage of `count` threads: t0, t1 and so on."""
    storage = CountingStorage()
    for n in range(count):
        await storage.save(f"t{n}", messages(2, f"thread {n} message {{n}}"))
    return storage


def keep(home: Path, *kept: OpenTab, active: int = 0) -> None:
    """Save these tabs as the open tabs of the last run."""
    tabs_file = OpenTabsFile(home)
    tabs_file.open()
    tabs_file.write(OpenTabs(kept, active))
    tabs_file.close()


def tab(n: int, draft: str = "") -> OpenTab:
    return OpenTab(f"t{n}", f"Title {n}", Draft(draft))


def kept(home: Path) -> OpenTabs:
    try:
        return decode((home / "tabs-1.json").read_bytes())
    except FileNotFoundError:
        return OpenTabs()


async def leave(window: Window) -> None:
    await window.press("ctrl+q")
    await window.until(lambda: not window.app.is_running, "the end")


async def test_tabs_are_restored_in_their_order_with_their_drafts(tmp_path: Path) -> None:
    storage = MemoryStorage()
    async with opened(home=tmp_path, storage=storage) as window:
        for name in "ABC":
            if name != "A":
                await window.press("ctrl+n")
            (await window.ask(name)).finish()
            await window.until(lambda: "saved" in window.status)
        await window.press("alt+2")
        await window.prompts("")
        await window.type("see ")
        await window.type(LONG)
        await window.prompts("see [pasted 120 lines #1]")
        await leave(window)
    async with opened(home=tmp_path, storage=storage) as window:
        await window.has_tabs("1 A", "2 B", "3 C")
        await window.until(lambda: window.shown == ["B"])
        await window.prompts("see [pasted 120 lines #1]")
        await window.press("enter")
        await window.until(lambda: bool(window.agent.turns))
        assert window.agent.turns[0].prompt == f"see {LONG}"


async def test_typed_text_is_saved_while_the_window_is_open(tmp_path: Path) -> None:
    async with opened(home=tmp_path) as window:
        await window.type("half a thought")
        await window.until(lambda: bool(kept(tmp_path).tabs))
        (only,) = kept(tmp_path).tabs
        assert (only.thread_id, only.draft.text) == (None, "half a thought")
        await window.press("backspace")
        await window.until(lambda: kept(tmp_path).tabs[0].draft.text == "half a though")


async def test_queued_messages_are_saved_as_a_draft_for_the_next_window(tmp_path: Path) -> None:
    async with opened(home=tmp_path) as window:
        await window.ask("One")
        await window.type("Two")
        await window.press("enter")
        await window.sees("queued: Two")
        await window.type("Three")
        await window.until(lambda: [t.draft.text for t in kept(tmp_path).tabs] == ["Two\n\nThree"])


async def test_only_the_active_one_of_thirty_tabs_is_read(tmp_path: Path) -> None:
    storage = await saved(30)
    keep(tmp_path, *(tab(n) for n in range(30)), active=7)
    async with opened(home=tmp_path, storage=storage) as window:
        await window.sees("thread 7 message 1")
        await window.until(lambda: len(window.tabs) == 30)
        assert storage.loaded == ["t7"]
        await window.press("f6", "f6", "f5")
        await window.sees("thread 8 message 1")
        await window.press("f6")
        await window.sees("thread 9 message 1")
        assert sorted(storage.loaded) == ["t7", "t8", "t9"]


async def test_the_tabs_are_restored_before_the_backend_is_connected(tmp_path: Path) -> None:
    storage = await saved(2)
    keep(tmp_path, tab(0, "typed before"), tab(1))
    agent = ScriptedAgent(load_at_once=False)
    async with opened(home=tmp_path, storage=storage, agent=agent) as window:
        await window.has_tabs("1 Title 0", "2 Title 1")
        assert window.prompt.text == "typed before"
        await window.press("enter")
        await window.until(lambda: bool(agent.turns))
        assert agent.turns[0].asked.thread_id == "t0"
        assert [message.content for message in agent.turns[0].asked.messages] == [
            "thread 0 message 0", "thread 0 message 1", "typed before",
        ]  # fmt: skip


async def test_a_title_changed_meanwhile_is_the_new_one(tmp_path: Path) -> None:
    storage = await saved(2)
    await storage.update_meta("t0", title="Renamed")
    keep(tmp_path, tab(0), tab(1))
    async with opened(home=tmp_path, storage=storage) as window:
        await window.has_tabs("1 Renamed", "2 Title 1")
        await window.press("alt+2")
        await window.has_tabs("1 Renamed", "2 thread 1 message 0")


async def test_the_requested_thread_becomes_the_active_tab(tmp_path: Path) -> None:
    storage = await saved(4)
    keep(tmp_path, tab(0), tab(1, "draft"), active=1)
    async with opened(home=tmp_path, storage=storage, thread="t3") as window:
        await window.sees("thread 3 message 1")
        await window.has_tabs("1 Title 0", "2 Title 1", "3 thread 3 message 0")
        assert storage.loaded == ["t3"]
        await leave(window)
    async with opened(home=tmp_path, storage=storage, thread="t0") as window:
        await window.sees("thread 0 message 1")
        await window.until(lambda: len(window.tabs) == 3)
        assert storage.loaded == ["t3", "t0"]


async def test_a_thread_that_is_gone_takes_its_tab_with_it_but_not_the_draft(
    tmp_path: Path,
) -> None:
    storage = await saved(1)
    keep(tmp_path, tab(8), tab(9, "still mine"), tab(0))
    async with opened(home=tmp_path, storage=storage) as window:
        await window.sees("no longer exists")
        await window.until(lambda: len(window.tabs) == 2)
        await window.prompts("still mine")
        await window.has_tabs("1 New thread", "2 Title 0")
        turn = await window.ask(" indeed")
        assert turn.asked.thread_id != "t9"
        assert turn.prompt == "still mine indeed"


async def test_a_damaged_list_of_tabs_is_reported_and_the_window_starts(tmp_path: Path) -> None:
    (tmp_path / "tabs-1.json").write_bytes(b'{"format": "koel-chat/tabs", "tabs": [')
    async with opened(home=tmp_path) as window:
        await window.sees("open tabs is damaged")
        await window.ask("works")


async def test_a_home_that_cannot_be_used_is_reported_and_the_window_starts(tmp_path: Path) -> None:
    home = tmp_path / "taken"
    home.write_text("a file")
    async with opened(home=home) as window:
        await window.tells("cannot be saved")
        await window.ask("works")
        await leave(window)
    assert window.app.return_code == 0


async def test_two_windows_keep_their_own_tabs(tmp_path: Path) -> None:
    async with opened(home=tmp_path) as first:
        await first.type("mine")
        await first.until(lambda: bool(kept(tmp_path).tabs))
        async with opened(home=tmp_path) as second:
            assert second.prompt.text == ""
            await second.type("and mine")
            await leave(second)
        await leave(first)
    assert [each.draft.text for each in kept(tmp_path).tabs] == ["mine"]
    async with opened(home=tmp_path) as window:
        await window.prompts("mine")
        await window.press("alt+2")
        await window.prompts("and mine")


async def test_a_thread_open_in_another_program_comes_back_to_be_read(tmp_path: Path) -> None:
    elsewhere = JsonFileStorage(tmp_path / "threads")
    await elsewhere.save("t0", messages(2))
    await elsewhere.open("t0")
    keep(tmp_path, tab(0, "my words"))
    async with opened(home=tmp_path, storage=JsonFileStorage(tmp_path / "threads")) as window:
        await window.sees("can only be read here")
        assert window.prompt.text == "my words"
    await elsewhere.close("t0")


async def test_a_tab_closed_unseen_is_not_read_and_can_be_reopened(tmp_path: Path) -> None:
    storage = await saved(3)
    keep(tmp_path, tab(0), tab(1), tab(2))
    async with opened(home=tmp_path, storage=storage) as window:
        await window.sees("thread 0 message 1")
        await window.press("alt+w")
        await window.sees("thread 1 message 1")
        await window.press("alt+shift+w")
        await window.sees("thread 0 message 1")
        await window.until(lambda: window.tabs[-1].startswith("3 "))
        await leave(window)
    assert [each.thread_id for each in kept(tmp_path).tabs] == ["t1", "t2", "t0"]


async def test_a_tab_closed_while_its_thread_is_read_ends_well(tmp_path: Path) -> None:
    storage = await saved(2)
    may_load = asyncio.Event()
    read = storage.load

    async def slow(thread_id: str) -> ChatState | None:
        await may_load.wait()
        return await read(thread_id)

    storage.load = slow  # type: ignore[method-assign]  # waits for `may_load`
    keep(tmp_path, tab(0), tab(1))
    async with opened(home=tmp_path, storage=storage) as window:
        await window.press("alt+w")
        await window.has_tabs("1 Title 1")
        window.app.post_message(events.Key("alt+shift+w", None))  # waits for the load
        await window.until(lambda: window.app._workspace._closing != {})
        may_load.set()
        await window.sees("thread 0 message 1")
        await window.until(lambda: len(window.tabs) == 2)


async def test_an_empty_window_leaves_nothing_to_reopen(tmp_path: Path) -> None:
    async with opened(home=tmp_path) as window:
        await leave(window)
    assert kept(tmp_path).tabs == ()


async def test_only_changed_tabs_are_written(tmp_path: Path) -> None:
    async with opened(home=tmp_path) as window:
        await window.type("once")
        await window.until(lambda: bool(kept(tmp_path).tabs))
        path = tmp_path / "tabs-1.json"
        before = path.stat().st_ino
        await window.type("x")
        await window.until(lambda: kept(tmp_path).tabs[0].draft.text == "oncex")
        after = path.stat().st_ino
        assert after != before
        await window.press("alt+g", "ctrl+home", "ctrl+end")  # these keys change no saved state
        await leave(window)
    assert path.stat().st_ino == after
    assert json.loads(path.read_bytes())["tabs"][0]["draft"] == {"text": "oncex"}


async def test_tabs_move_and_keep_their_new_places(tmp_path: Path) -> None:
    storage = await saved(3)
    keep(tmp_path, tab(0), tab(1), tab(2), active=2)
    async with opened(home=tmp_path, storage=storage) as window:
        await window.has_tabs("1 Title 0", "2 Title 1", "3 thread 2 message 0")
        await window.press("ctrl+shift+pageup")
        await window.has_tabs("1 Title 0", "2 thread 2 message 0", "3 Title 1")
        await window.press("alt+shift+pageup", "alt+shift+pageup", "alt+shift+pageup")
        await window.has_tabs("1 thread 2 message 0", "2 Title 0", "3 Title 1")
        await window.press("ctrl+shift+pagedown")
        await window.has_tabs("1 Title 0", "2 thread 2 message 0", "3 Title 1")
        await window.press("alt+1")
        await window.sees("thread 0 message 1")
        await leave(window)
    assert [each.thread_id for each in kept(tmp_path).tabs] == ["t0", "t2", "t1"]
    assert kept(tmp_path).active == 0


async def test_only_tabs_near_the_active_one_have_widgets(tmp_path: Path) -> None:
    keep(tmp_path, *map(tab, range(300)), active=0)
    async with opened(home=tmp_path, storage=await saved(300)) as window:

        def numbers() -> list[int]:
            return [int(label.partition(" ")[0]) for label in window.tabs]

        await window.until(lambda: numbers() == [*range(1, MAX_MOUNTED + 1)])
        await window.press("f5")  # from the first tab to the last
        await window.until(lambda: numbers() == [*range(301 - MAX_MOUNTED, 301)])
        await window.reads("thread 299 message 1")
        await window.press("f6")
        await window.until(lambda: numbers() == [*range(1, MAX_MOUNTED + 1)])
