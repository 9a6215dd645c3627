"""Tests of tabs: opening, switching, closing and reopening several threads."""

from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.events import Key

from koel_tui.storage import JsonFileStorage, MemoryStorage
from koel_tui.ui.app.tab_bar import MAX_MOUNTED, mounted_range
from koel_tui.ui.transcript.message_view import MessageView
from tests.ui.window import Window, messages, opened


async def three_tabs(window: Window) -> None:
    """Ask A, B and C in tabs 1, 2 and 3, without finishing the answers."""
    for name in "ABC":
        if name != "A":
            await window.press("ctrl+n")
        (await window.ask(name)).write(f"answer {name}")
        await window.sees(f"answer {name}")


async def test_tabs_are_numbered_and_titled_by_the_first_words() -> None:
    async with opened() as window:
        await window.has_tabs("1 New thread")
        turn = await window.ask("Tell me about forests, and do not leave out a single one of them")
        turn.finish()
        await window.has_tabs("1 Tell me about forests…")
        await window.press("ctrl+n")
        await window.has_tabs("1 Tell me about forests…", "2 New thread")


async def test_every_key_that_goes_to_a_tab() -> None:
    async with opened() as window:
        await three_tabs(window)
        for key, name in (
            ("alt+1", "A"),
            ("alt+2", "B"),
            ("f5", "A"),
            ("f5", "C"),
            ("f6", "A"),
            ("ctrl+pagedown", "B"),
            ("ctrl+pageup", "A"),
            ("alt+9", "A"),
            ("alt+3", "C"),
        ):
            await window.press(key)
            await window.sees(f"answer {name}")
            assert window.app.focused is window.prompt


async def test_a_click_on_a_tab_goes_there_and_the_prompt_keeps_the_focus() -> None:
    async with opened() as window:
        await three_tabs(window)
        assert await window.pilot.click("#tab-1")
        await window.sees("answer A")
        assert window.app.focused is window.prompt


async def test_a_click_on_a_tab_is_not_lost_to_a_repaint(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as window:
        await three_tabs(window)
        tab_bar, front = window.app._main._tab_bar, window.app._workspace.active.key
        monkeypatch.setattr(tab_bar, "watch_active", lambda *_: setattr(tab_bar, "active", front))
        assert await window.pilot.click("#tab-1")
        await window.until(lambda: window.app._workspace.active.key == "tab-1")


async def test_only_the_tab_in_front_has_widgets_for_its_messages() -> None:
    async with opened() as window:
        await three_tabs(window)
        await window.until(lambda: window.shown == ["C", "answer C"])
        assert len(window.app.query(MessageView)) == 2


async def test_one_tab_writes_while_another_waits_and_the_labels_say_so() -> None:
    async with opened() as window:
        first = await window.ask("First")
        first.write("...")
        await window.press("ctrl+n")
        second = await window.ask("Second")
        second.report(phase="queued", position=1)
        await window.has_tabs("1 First ⌛", "2 Second queued 1")
        first.finish()
        await window.has_tabs("1 First ●", "2 Second queued 1")
        await window.press("alt+1")
        await window.has_tabs("1 First", "2 Second queued 1")


async def test_an_answer_continues_in_a_hidden_tab() -> None:
    async with opened() as window:
        turn = await window.ask("Away")
        turn.write("before ")
        await window.press("ctrl+n")
        turn.write("and after")
        turn.finish()
        await window.until(lambda: window.tabs[0].endswith("●"))
        await window.press("alt+1")
        await window.sees("before and after")


async def test_each_tab_keeps_its_own_draft() -> None:
    async with opened() as window:
        await window.type("draft one")
        await window.press("ctrl+n")
        await window.until(lambda: window.prompt.text == "")
        await window.type("draft two")
        await window.press("alt+1")
        await window.until(lambda: window.prompt.text == "draft one")
        await window.press("alt+2")
        await window.until(lambda: window.prompt.text == "draft two")


async def test_a_tab_remembers_where_the_user_was_reading() -> None:
    storage = MemoryStorage()
    await storage.save("long", messages(30))
    async with opened(storage=storage, thread="long") as window:
        await window.sees("message 29")
        await window.press("pageup")
        await window.misses("message 29")
        there = window.lines[2:-5]
        await window.press("ctrl+n", "alt+1")
        await window.until(lambda: window.lines[2:-5] == there, "the same lines")


async def test_a_new_tab_is_not_opened_while_the_active_tab_is_empty() -> None:
    async with opened() as window:
        await window.press("ctrl+n", "ctrl+n")
        await window.has_tabs("1 New thread")


async def test_closing_a_tab_ends_its_session_and_keeps_its_thread() -> None:
    storage = MemoryStorage()
    async with opened(storage=storage) as window:
        await three_tabs(window)
        await window.press("alt+2", "alt+w")
        await window.until(lambda: len(window.tabs) == 2)
        await window.sees("answer C")
        turn = window.agent.turns[1]
        await window.until(turn.closed.is_set)
        await window.until(lambda: turn.asked.thread_id in window.agent.released)
        assert turn.asked.thread_id in await storage.list_threads()


async def test_the_last_tab_closes_into_an_empty_one() -> None:
    async with opened() as window:
        (await window.ask("Only")).finish()
        await window.press("ctrl+f4")
        await window.has_tabs("1 New thread")
        await window.sees("Ask anything.")


async def test_a_closed_tab_is_restored_with_its_messages_and_its_draft() -> None:
    async with opened() as window:
        turn = await window.ask("Come back")
        turn.write("I will")
        turn.finish()
        await window.sees("I will")
        await window.type("half a thought")
        await window.press("alt+w")
        await window.has_tabs("1 New thread")
        await window.press("alt+shift+w")
        await window.sees("I will")
        await window.until(lambda: window.prompt.text == "half a thought")
        await window.has_tabs("1 Come back")


async def test_closing_a_tab_keeps_its_queued_messages() -> None:
    async with opened() as window:
        await window.ask("One")
        await window.type("Two")
        await window.press("enter")
        await window.sees("queued: Two")
        await window.type("Three")
        await window.press("alt+w")
        await window.has_tabs("1 New thread")
        await window.press("alt+shift+w")
        await window.until(lambda: window.prompt.text == "Two\n\nThree")
        assert len(window.agent.turns) == 1


async def test_a_draft_without_a_thread_is_restored_too() -> None:
    async with opened() as window:
        await window.type("never sent")
        await window.press("alt+w")
        await window.until(lambda: window.prompt.text == "")
        await window.press("alt+shift+w")
        await window.until(lambda: window.prompt.text == "never sent")


async def test_a_closed_thread_that_was_deleted_is_reported() -> None:
    storage = MemoryStorage()
    async with opened(storage=storage) as window:
        turn = await window.ask("Gone")
        turn.finish()
        await window.press("alt+w")
        await window.until(lambda: turn.asked.thread_id in window.agent.released)
        await storage.delete(turn.asked.thread_id)
        await window.press("alt+shift+w")
        await window.tells("no longer exists")
        await window.has_tabs("1 New thread")


async def test_keys_pressed_before_the_window_is_ready_for_them_do_no_harm() -> None:
    async with opened() as window:
        await window.press("alt+shift+w", "alt+5", "escape", "pageup", "shift+down", "ctrl+end")
        await window.has_tabs("1 New thread")


async def test_titles_shrink_so_that_all_tabs_can_be_distinguished() -> None:
    async with opened(size=(60, 15)) as window:
        for n in range(5):
            if n:
                await window.press("ctrl+n")
            (await window.ask(f"{n}{n}{n} a title of many words")).finish()
        await window.until(lambda: len(window.tabs) == 5 and max(map(len, window.tabs)) <= 12)


async def test_a_thread_that_is_open_elsewhere_can_be_read_and_nothing_typed_is_lost(
    tmp_path: Path,
) -> None:
    elsewhere = JsonFileStorage(tmp_path)
    await elsewhere.save("t", messages(2))
    await elsewhere.open("t")
    async with opened(storage=JsonFileStorage(tmp_path), thread="t") as window:
        await window.sees("message 1")
        await window.sees("can only be read here")
        await window.type("and now?")
        await window.press("enter")
        await window.until(lambda: window.prompt.text == "and now?")
        assert window.agent.turns == []
    await elsewhere.close("t")


async def test_an_open_tab_is_found_in_a_list() -> None:
    async with opened(size=(60, 15)) as window:
        for n in range(12):
            if n:
                await window.press("ctrl+n")
                await window.until(lambda n=n: len(window.tabs) == n + 1)  # type: ignore[misc]  # n is bound
            (
                await window.ask(f"question {n} 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字")
            ).finish()
        await window.press("alt+1", "f4")
        await window.sees("Open tabs")
        await window.sees("9 question 8 漢字")
        assert all(cell_len(line) == 60 for line in window.lines)
        await window.type("question 7")
        await window.misses("question 8 漢字")
        await window.press("enter")
        await window.until(lambda: window.shown[:1] == ["question 7 " + "漢字" * 11])
        assert window.app.focused is window.prompt
        await window.press("f4")
        await window.sees("Open tabs")
        await window.type("11")
        await window.misses("9 question 8 漢字")
        await window.press("enter")
        await window.until(lambda: window.shown[:1] == ["question 10 " + "漢字" * 11])


async def test_the_keys_that_open_the_list_of_tabs_also_close_it() -> None:
    async with opened() as window:
        for key, leaves in (("f4", "f4"), ("alt+0", "alt+0"), ("f4", "escape")):
            await window.press(key)
            await window.sees("Open tabs")
            await window.sees("1 New thread")
            await window.press(leaves)
            await window.misses("Open tabs")
        await window.has_tabs("1 New thread")


async def test_a_thread_changed_elsewhere_is_reported_with_the_conflict_file(
    tmp_path: Path,
) -> None:
    storage, elsewhere = JsonFileStorage(tmp_path), JsonFileStorage(tmp_path)
    await storage.save("t", messages(2))
    async with opened(storage=storage, thread="t", size=(120, 24)) as window:
        await window.sees("message 1")
        await storage.close("t")  # releases the lock, as if the file system had none
        await elsewhere.load("t")
        await elsewhere.save("t", messages(4))
        turn = await window.ask("Mine")
        turn.write("ours")
        turn.finish()
        await window.sees("was changed by another program")
    saved = await JsonFileStorage(tmp_path).load("t")
    assert saved is not None and len(saved.messages) == 4
    (conflict_file,) = tmp_path.glob("*conflict*")
    assert "Mine" in conflict_file.read_text()


async def test_text_typed_right_after_a_tab_key_goes_to_the_new_tab() -> None:
    async with opened() as window:
        await window.type("one")
        for key in ("ctrl+n", "t", "w", "o", "f5", "!"):
            window.app.post_message(Key(key, key if len(key) == 1 else None))
        await window.until(lambda: window.prompt.text == "one!")
        await window.press("f6")
        await window.until(lambda: window.prompt.text == "two")


async def test_the_tab_in_front_is_in_sight_when_not_all_are() -> None:
    async with opened(size=(60, 15)) as window:
        for _ in range(11):
            await window.type("a draft")
            await window.press("ctrl+n")
        await window.until(lambda: "12 New thr…" in window.lines[0])
        await window.press("alt+1")
        await window.until(lambda: window.lines[0].startswith(" 1 New thr…"))
        await window.press("f5", "ctrl+shift+pageup")
        await window.until(lambda: "11 New thr…" in window.lines[0])
        await window.press("alt+2")
        await window.until(lambda: " 2 New thr…" in window.lines[0])


def test_the_active_tab_and_its_neighbours_have_widgets() -> None:
    for count in (1, MAX_MOUNTED, MAX_MOUNTED + 1, 1000):
        for active in range(count):
            mounted = mounted_range(count, active)
            assert len(mounted) == min(count, MAX_MOUNTED)
            near = range(max(0, active - 9), min(count, active + 10))
            assert {*near} <= {*mounted} <= {*range(count)}
