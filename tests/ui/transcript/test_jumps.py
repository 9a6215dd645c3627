"""Tests of jumps to messages in a thread, and of the mark for new text below."""

from pathlib import Path

import pytest
from textual import events

from koel_tui.conversation.entries import Entry
from koel_tui.storage import MemoryStorage
from koel_tui.ui.transcript.mount_window import MAX_MESSAGES, MAX_WIDGETS, index_of, range_around
from koel_tui.ui.transcript.scroll_position import ScrollTarget
from koel_tui.ui.transcript.transcript import AWAY_INTERVAL, FLUSH_INTERVAL
from tests.ui.app.test_restored_tabs import keep, tab
from tests.ui.scripted import Turn
from tests.ui.window import Window, messages, opened

COUNT = 5000
MARK = "↓ new text below · ctrl+end"


async def long_thread() -> MemoryStorage:
    storage = MemoryStorage()
    await storage.save("long", messages(COUNT, "message number {n}."))
    return storage


def line_of(window: Window, text: str) -> int:
    """Return the number of the transcript line that contains a text."""
    return next(n for n, line in enumerate(window.view.split("\n")) if text in line)


def assert_bounded(window: Window) -> None:
    assert len(window.shown) <= MAX_MESSAGES
    assert len(window.transcript.query("*")) <= MAX_WIDGETS


async def until_at_a_third(window: Window, text: str) -> None:
    await window.reads(text)
    third = window.transcript.size.height // 3
    await window.until(lambda: line_of(window, text) == third, f"{text!r} at a third")


async def scrolled_away(window: Window) -> Turn:
    """Stream a long answer, and scroll up from its end."""
    turn = await window.ask("Lines")
    turn.write("".join(f"line {n}\n\n" for n in range(60)))
    await window.reads("line 59")
    await window.press("pageup")
    await window.until(lambda: "line 59" not in window.view)
    return turn


async def test_text_out_of_view_is_painted_less_often() -> None:
    async with opened() as window:
        turn = await scrolled_away(window)
        throttle = window.transcript._throttle
        await window.until(lambda: throttle.interval == AWAY_INTERVAL)
        await window.press("ctrl+end")
        await window.reads("line 59")
        await window.until(lambda: throttle.interval == FLUSH_INTERVAL)
        turn.finish()


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 15)])
async def test_a_jump_shows_a_message_at_a_third_of_the_height(size: tuple[int, int]) -> None:
    async with opened(size=size, storage=await long_thread(), thread="long") as window:
        await window.reads(f"message number {COUNT - 1}.")
        for number in (2500, 2501, 4000, 30, 31, 2, 4960):
            window.transcript.go_to(f"m{number}")
            await window.reads(f"message number {number}.")
            assert_bounded(window)
            if number > 4:
                await until_at_a_third(window, f"message number {number}.")


async def test_messages_around_a_jump_are_loaded_both_ways() -> None:
    async with opened(storage=await long_thread(), thread="long") as window:
        window.transcript.go_to("m2500")
        await window.reads("message number 2500.")
        for key, goal in (("pageup", 2450), ("pagedown", 2550)):
            for _ in range(60):
                await window.press(key)
                assert_bounded(window)
                if f"message number {goal}." in window.view:
                    break
            assert f"message number {goal}." in window.view


async def test_a_jump_to_a_message_that_is_not_there_does_nothing() -> None:
    async with opened(storage=await long_thread(), thread="long") as window:
        await window.reads(f"message number {COUNT - 1}.")
        before = window.view
        window.transcript.go_to("nobody")
        await window.pilot.pause()
        assert window.view == before
        turn = await window.ask("And now?")
        turn.write("Now this.")
        await window.reads("Now this.")


async def test_a_thread_can_be_opened_at_a_message() -> None:
    async with opened(storage=await long_thread(), thread="long") as window:
        await window.reads(f"message number {COUNT - 1}.")
        conversation = window.app._workspace.active
        await window.press("ctrl+n")
        await window.until(lambda: not window.shown)
        window.app._pane.show_message(conversation, "m1234")
        await window.press("f5")
        await window.reads("message number 1234.")
        await until_at_a_third(window, "message number 1234.")
        window.app._pane.show_message(conversation, "m77")
        await window.reads("message number 77.")


async def test_a_message_of_a_tab_that_is_not_loaded_is_shown_at_a_third(tmp_path: Path) -> None:
    """The whole thread is mounted at once, so the jump needs the layout of new widgets."""
    storage = MemoryStorage()
    for name in ("t0", "t1"):
        await storage.save(name, messages(16, "message number {n}.\n\nof " + name))
    keep(tmp_path, tab(0), tab(1))
    async with opened(home=tmp_path, storage=storage) as window:
        await window.reads("of t0")
        _, other = window.app._workspace.tabs
        window.app._pane.show_message(other, "m8")
        await window.press("f6")
        await window.reads("of t1")
        await until_at_a_third(window, "message number 8.")


async def test_a_message_wanted_before_its_thread_is_read_is_shown_when_it_is() -> None:
    async with opened() as window:
        window.transcript.go_to("m1")
        await window.pilot.pause()
        assert window.transcript.scroll_position() == ScrollTarget("m1")


async def test_alt_up_and_down_go_from_one_message_of_the_user_to_the_next() -> None:
    async with opened(storage=await long_thread(), thread="long") as window:
        await window.reads(f"message number {COUNT - 1}.")
        seen: list[int] = []
        for _ in range(40):
            await window.press("alt+up")
            assert_bounded(window)
            top = window.view.split("\n")[window.transcript.size.height // 3]
            seen.append(int(top.split("number ")[1].split(".")[0]))
        assert seen == list(range(seen[0], seen[0] - 80, -2))
        await window.press("alt+down")
        await window.until(lambda: f"number {seen[-2]}." in window.view)
        await until_at_a_third(window, f"message number {seen[-2]}.")
        for _ in range(60):
            await window.press("alt+down")
        await window.reads(f"message number {COUNT - 1}.")
        await window.press("ctrl+home", "alt+down", "alt+up")
        await window.reads("message number 0.")


def test_a_range_around_a_message_includes_it_at_any_cost() -> None:
    light = [Entry(f"m{n}", "user", "short") for n in range(100)]
    assert range_around(light, 50) == (30, 70)
    assert range_around(light, 0) == (0, 20)
    assert range_around(light, 99) == (79, 100)
    heavy = [Entry(str(n), "assistant", "- x\n" * 30) for n in range(10)]
    assert range_around(heavy, 5) == (5, 6)


def test_a_message_is_found_by_its_id_or_its_first_block() -> None:
    entries = [
        Entry("a#thinking", "thinking", ""),
        Entry("a", "assistant", "x"),
        Entry("b", "user", ""),
    ]
    assert [index_of(entries, wanted) for wanted in ("a", "b", "c", "")] == [0, 2, None, None]


async def test_new_text_below_is_marked_until_the_end_is_reached_by_key() -> None:
    async with opened() as window:
        turn = await scrolled_away(window)
        assert MARK not in window.screen  # no new text yet
        turn.write("more\n\n")
        await window.sees(MARK)
        await window.press("pagedown", "pagedown")
        await window.reads("more")
        await window.misses(MARK)
        turn.write("and more")
        await window.reads("and more")
        assert MARK not in window.screen


@pytest.mark.parametrize("way", ["ctrl+end", "wheel", "click", "send"])
async def test_the_new_text_mark_disappears_at_the_end_for_every_way_to_reach_it(way: str) -> None:
    async with opened() as window:
        turn = await scrolled_away(window)
        turn.write("last words")
        turn.finish()
        await window.sees(MARK)
        match way:
            case "ctrl+end":
                await window.press("ctrl+end")
            case "wheel":
                while not window.transcript.is_vertical_scroll_end:
                    await window.pilot._post_mouse_events([events.MouseScrollDown], offset=(5, 5))
            case "click":
                await window.type("kept")
                row = next(n for n, line in enumerate(window.lines) if MARK in line)
                await window.pilot.click(offset=(window.lines[row].index("new"), row))
                assert window.prompt.cursor_location == (0, len("kept"))
            case "send":
                await window.ask("Next")
        await window.misses(MARK)
        await window.reads("last words")


async def test_an_answer_in_a_tab_left_further_up_is_marked_on_the_return() -> None:
    async with opened() as window:
        turn = await scrolled_away(window)
        await window.press("ctrl+n")
        await window.until(lambda: not window.shown)
        turn.write("last words")
        turn.finish()
        await window.pilot.pause(FLUSH_INTERVAL)
        assert MARK not in window.screen
        await window.press("f5")
        await window.sees(MARK)
        await window.press("f5")
        await window.misses(MARK)
