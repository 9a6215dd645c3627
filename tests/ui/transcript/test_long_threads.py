"""Tests of long threads: few widgets are mounted, and every message can be reached."""

import re

from koel_tui.conversation.entries import Entry
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import MemoryStorage
from koel_tui.ui.transcript.mount_window import (
    MAX_MESSAGES,
    MAX_WIDGETS,
    PAGE_MESSAGES,
    TAIL_MESSAGES,
    extend_range,
)
from tests.ui.window import Window, messages, opened

COUNT = 500


async def long_thread() -> MemoryStorage:
    storage = MemoryStorage()
    await storage.save("long", messages(COUNT, "message number {n}."))
    return storage


def numbers(window: Window) -> list[int]:
    """Return the numbers of the mounted messages."""
    return [int(text.removeprefix("message number ").removesuffix(".")) for text in window.shown]


def assert_bounded(window: Window) -> None:
    mounted = numbers(window)
    assert mounted == list(range(mounted[0], mounted[-1] + 1))
    assert len(mounted) <= MAX_MESSAGES
    assert len(window.transcript.query("*")) <= MAX_WIDGETS


async def test_a_long_thread_shows_its_end_first() -> None:
    async with opened(storage=await long_thread(), thread="long") as window:
        await window.reads(f"message number {COUNT - 1}.")
        assert numbers(window) == list(range(COUNT - TAIL_MESSAGES, COUNT))
        assert_bounded(window)


async def test_scrolling_passes_every_message_up_to_the_first_and_down_to_the_last() -> None:
    count = 60
    storage = MemoryStorage()
    await storage.save("long", messages(count, "message number {n}."))
    async with opened(size=(80, 40), storage=storage, thread="long") as window:
        await window.reads(f"message number {count - 1}.")
        for key, goal in (("pageup", 0), ("pagedown", count - 1)):
            seen: set[int] = set()
            for _ in range(count):
                seen |= {int(n) for n in re.findall(r"message number (\d+)\.", window.view)}
                assert_bounded(window)
                if goal in seen:
                    break
                await window.press(key)
            assert seen == set(range(count))


async def test_the_visible_text_stays_in_place_when_more_is_loaded() -> None:
    async with opened(storage=await long_thread(), thread="long") as window:
        await window.reads(f"message number {COUNT - 1}.")
        first = COUNT - TAIL_MESSAGES
        while f"message number {first}." not in window.view:
            await window.press("pageup")
        await window.press("shift+up", "shift+up")
        await window.until(lambda: numbers(window)[0] == first - PAGE_MESSAGES)
        await window.reads(f"message number {first}.")
        await window.reads(f"message number {first + 1}.")


async def test_home_and_end_jump() -> None:
    async with opened(storage=await long_thread(), thread="long") as window:
        await window.reads(f"message number {COUNT - 1}.")
        await window.press("ctrl+home")
        await window.reads("message number 0.")
        assert_bounded(window)
        await window.press("ctrl+end")
        await window.reads(f"message number {COUNT - 1}.")
        assert_bounded(window)


async def test_a_new_question_goes_to_the_end_from_wherever_the_user_reads() -> None:
    async with opened(storage=await long_thread(), thread="long") as window:
        await window.reads(f"message number {COUNT - 1}.")
        await window.press("ctrl+home")
        await window.reads("message number 0.")
        turn = await window.ask("And now?")
        await window.reads("And now?")
        turn.write("Now this.")
        await window.reads("Now this.")


async def test_an_answer_out_of_the_window_of_messages_is_there_at_the_end() -> None:
    async with opened(storage=await long_thread(), thread="long") as window:
        turn = await window.ask("Go on")
        await window.press("ctrl+home")
        await window.reads("message number 0.")
        turn.write("Far below.")
        turn.finish()
        await window.until(lambda: "writing" not in window.status)
        await window.press("ctrl+end")
        await window.reads("Far below.")


async def test_a_long_talk_keeps_few_widgets() -> None:
    storage = MemoryStorage()
    await storage.save("long", messages(TAIL_MESSAGES, "message number {n}."))
    async with opened(storage=storage, thread="long") as window:
        await window.reads(f"message number {TAIL_MESSAGES - 1}.")
        last = TAIL_MESSAGES
        while last < TAIL_MESSAGES + 8:
            turn = await window.ask(f"message number {last}.")
            turn.write(f"message number {last + 1}.")
            turn.finish()
            last += 2
            await window.reads(f"message number {last - 1}.")
        await window.until(lambda: "writing" not in window.status)
        assert numbers(window)[-1] == last - 1
        assert numbers(window)[0] > 0
        assert_bounded(window)


async def test_a_message_that_is_heavy_alone_is_still_shown() -> None:
    storage = MemoryStorage()
    state = ChatState(
        messages=(
            Message("u", "user", "x" * 100_000),
            Message("a", "assistant", "- item\n" * 60 + "the end"),
        )
    )
    await storage.save("heavy", state)
    async with opened(storage=storage, thread="heavy") as window:
        await window.reads("the end")
        await window.press("ctrl+home")
        await window.reads("xxxxxxxx")


async def test_visible_messages_stay_mounted_at_any_cost() -> None:
    async with opened(size=(120, 60)) as window:
        turn = await window.ask("List them")
        for n in range(0, 30, 6):
            turn.write("".join(f"- item {n + m}\n" for m in range(6)))
            await window.reads(f"• item {n + 5}")
        await window.until(lambda: "List them" in window.view)


def test_a_message_range_is_extended_up_to_its_limits() -> None:
    light = [Entry(str(n), "user", "short") for n in range(100)]
    assert extend_range(light, 100, -1, 20, 150) == 80
    assert extend_range(light, 100, -1, 20, 30) == 85
    assert extend_range(light, 5, -1, 20, 150) == 0
    assert extend_range(light, 0, 1, 20, 150) == 20
    assert extend_range([], 0, -1, 20, 150) == 0
    heavy = [Entry(str(n), "assistant", "- x\n" * 20) for n in range(10)]
    assert extend_range(heavy, 10, -1, 20, 150) == 9
    assert extend_range(heavy[:1], 1, -1, 20, 10) == 0
