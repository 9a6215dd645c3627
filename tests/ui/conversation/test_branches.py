"""Tests of branches by keyboard: regenerated answers, edited messages, switching, continuing."""

from pathlib import Path

import pytest

from koel_tui.storage import MemoryStorage
from tests.ui.window import Window, messages, opened


async def answer(window: Window, question: str, text: str) -> None:
    turn = await window.ask(question)
    turn.write(text)
    turn.finish()
    await window.reads(text)
    await idle(window)


async def again(window: Window, key: str, text: str) -> None:
    """Press a key that starts a run, and answer the run."""
    before = len(window.agent.turns)
    await window.press(key)
    await window.until(lambda: len(window.agent.turns) > before, "a run")
    window.agent.turns[before].write(text)
    window.agent.turns[before].finish()
    await window.reads(text)
    await idle(window)


async def idle(window: Window) -> None:
    await window.until(lambda: "saved" in window.status, "saved")


async def test_a_regenerated_answer_keeps_the_old_one_as_a_branch() -> None:
    async with opened() as window:
        await answer(window, "Name a tree", "An oak.")
        await again(window, "ctrl+r", "An elm.")
        await window.reads("‹2/2›")
        await window.misses("An oak.")
        await window.press("alt+left")
        await window.reads("An oak.")
        await window.reads("‹1/2›")
        assert "An elm." not in window.view
        await window.press("alt+k")
        await window.reads("An elm.")
        await window.press("alt+j")
        await window.reads("An oak.")
        turn = await window.ask("Why?")
        assert [each.content for each in turn.asked.messages] == ["Name a tree", "An oak.", "Why?"]
        turn.finish()


async def test_branches_are_there_after_a_restart() -> None:
    storage = MemoryStorage()
    async with opened(storage=storage) as window:
        await answer(window, "Name a tree", "An oak.")
        await again(window, "ctrl+r", "An elm.")
    (thread,) = await storage.list_threads()
    async with opened(storage=storage, thread=thread) as window:
        await window.reads("‹2/2›")
        await window.press("alt+left")
        await window.reads("An oak.")
        await window.reads("‹1/2›")


async def test_an_edited_message_is_a_branch_and_the_draft_is_kept() -> None:
    async with opened() as window:
        await answer(window, "Name a tree", "An oak.")
        await window.type("my draft")
        await window.press("alt+e")
        await window.prompts("Name a tree")
        await window.sees("editing your message")
        await window.type(" of the north")
        await again(window, "enter", "A birch.")
        assert window.agent.turns[-1].prompt == "Name a tree of the north"
        await window.prompts("my draft")
        await window.misses("editing your message")
        await window.reads("‹2/2›")
        await window.press("alt+left")
        await window.reads("An oak.")
        assert "north" not in window.view


async def test_editing_goes_back_message_by_message_and_esc_leaves_all_as_it_was() -> None:
    async with opened() as window:
        await answer(window, "First", "One.")
        await answer(window, "Second", "Two.")
        await window.type("my draft")
        await window.press("alt+e")
        await window.prompts("Second")
        await window.type(" and more")
        await window.press("alt+e", "alt+e")
        await window.prompts("First")
        await window.press("escape")
        await window.prompts("my draft")
        await window.misses("editing your message")
        await window.press("up")
        await window.prompts("Second and more")
        await window.press("down")
        await window.prompts("my draft")
        assert len(window.agent.turns) == 2
        assert "‹" not in window.view


async def test_an_edited_message_stays_with_its_tab_and_is_saved(tmp_path: Path) -> None:
    async with opened(home=tmp_path) as window:
        await answer(window, "First", "One.")
        await window.type("my draft")
        await window.press("alt+e")
        await window.type(" and more")
        await window.press("ctrl+n")
        await window.prompts("")
        await window.misses("editing your message")
        await window.press("f5")
        await window.prompts("First and more")
        await window.sees("editing your message")
        await window.press("alt+w")
        await window.prompts("")
        await window.press("alt+shift+w")
        await window.prompts("my draft\n\nFirst and more")


async def test_an_edited_message_is_not_lost_while_an_answer_is_written() -> None:
    async with opened() as window:
        await answer(window, "First", "One.")
        turn = await window.ask("Second")
        turn.write("Tw")
        await window.reads("Tw")
        await window.type("my draft")
        await window.press("alt+e", "enter")
        await window.reads("Stop it, then send")
        await window.prompts("Second")
        await window.press("escape")
        await window.prompts("my draft")
        turn.finish()


async def test_stopping_while_editing_leaves_the_editing_first() -> None:
    async with opened() as window:
        turn = await window.ask("First")
        turn.write("On")
        await window.reads("On")
        await window.press("alt+e", "escape")
        await window.prompts("")
        assert not turn.closed.is_set()
        await window.press("escape")
        await window.until(turn.closed.is_set, "stopped")


async def test_an_empty_branch_is_labelled_and_the_branch_key_leaves_it() -> None:
    async with opened() as window:
        await answer(window, "Name a tree", "An oak.")
        await window.press("ctrl+r")
        await window.until(lambda: len(window.agent.turns) == 2)
        await window.press("escape")
        await window.reads("‹2/2› This branch is empty")
        await window.press("alt+left")
        await window.reads("An oak.")
        await window.misses("‹")


async def test_a_branch_far_up_is_shown_where_it_begins() -> None:
    storage = MemoryStorage()
    await storage.save("long", messages(60))
    async with opened(storage=storage, thread="long") as window:
        await window.reads("message 59")
        await window.press("alt+e", "alt+e", "alt+e")
        await window.prompts("message 54")
        await again(window, "enter", "Another way.")
        await window.press("alt+left")
        await window.reads("message 54")
        await window.reads("‹1/2›")
        await window.press("ctrl+home")
        await window.reads("message 0")
        await window.press("alt+right")
        await window.sees("There are no branches here")


@pytest.mark.parametrize("key", ["ctrl+r", "alt+e", "alt+left", "alt+n", "alt+q"])
async def test_an_action_that_cannot_run_is_reported(key: str) -> None:
    said = {
        "ctrl+r": "There is no message to answer",
        "alt+e": "You have no message here",
        "alt+left": "There are no branches here",
        "alt+n": "no answer yet",
        "alt+q": "No messages are queued",
    }
    async with opened() as window:
        await window.press(key)
        await window.sees(said[key])


@pytest.mark.parametrize("key", ["ctrl+r", "alt+left", "alt+g", "alt+r"])
async def test_an_answer_being_written_is_not_cut_off(key: str) -> None:
    async with opened() as window:
        turn = await window.ask("Name a tree")
        turn.write("An o")
        await window.reads("An o")
        await window.press(key)
        await window.sees("An answer is being written.")
        turn.write("ak.")
        await window.reads("An oak.")
        turn.finish()


async def test_a_thread_continues_in_a_new_tab_from_the_answer_in_view() -> None:
    storage = MemoryStorage()
    async with opened(storage=storage) as window:
        await answer(window, "Name a tree", "An oak.")
        await window.press("alt+n")
        await window.has_tabs("1 Name a tree", "2 Name a tree (branch)")
        await window.reads("An oak.")
        await answer(window, "Why?", "It is old.")
        await window.press("f5")
        await window.misses("It is old.")
        await window.reads("An oak.")
    threads = await storage.list_threads()
    parents = [(await storage.meta(thread)).get("parent") for thread in threads]
    assert len(threads) == 2 and sum(parent in threads for parent in parents) == 1


async def test_queued_messages_can_be_edited_or_dropped() -> None:
    async with opened() as window:
        turn = await window.ask("First")
        for text in ("one", "two", "three"):
            await window.type(text)
            await window.press("enter")
        await window.reads("queued: two")
        await window.press("alt+q")
        await window.sees("Queued messages")
        await window.press("delete")
        await window.until(lambda: "queued: one" not in window.view)
        await window.press("down", "enter")
        await window.prompts("three")
        await window.misses("queued: three")
        turn.finish()
        await window.until(lambda: len(window.agent.turns) == 2)
        assert window.agent.turns[1].prompt == "two"
        window.agent.turns[1].finish()
        await idle(window)
        assert len(window.agent.turns) == 2


async def test_dropping_the_last_queued_message_closes_the_list() -> None:
    async with opened() as window:
        turn = await window.ask("First")
        await window.type("one")
        await window.press("enter")
        await window.press("alt+q")
        await window.sees("Queued messages")
        await window.press("delete")
        await window.misses("Queued messages")
        turn.finish()
        await idle(window)
        assert len(window.agent.turns) == 1


async def test_the_answer_can_be_given_again_right_after_it_was_stopped() -> None:
    async with opened() as window:
        turn = await window.ask("Name a tree")
        turn.write("An o")
        await window.reads("An o")
        await window.press("escape", "ctrl+r")
        await window.until(lambda: len(window.agent.turns) == 2, "a run")
        window.agent.turns[1].write("An elm.")
        window.agent.turns[1].finish()
        await window.reads("An elm.")
        await window.reads("‹2/2›")


async def test_a_deleted_thread_does_not_prevent_reopening_others() -> None:
    storage = MemoryStorage()
    for name in ("one", "two"):
        await storage.save(name, messages(2, f"{name} {{n}}"))
    async with opened(storage=storage, thread="two") as window:
        await window.reads("two 1")
        await window.press("ctrl+o")
        await window.sees("one 0")
        await window.type("one")
        await window.press("enter")
        await window.reads("one 1")
        await window.press("f5", "alt+w")
        await window.has_tabs("1 one 0")
        await window.press("alt+w")
        await window.has_tabs("1 New thread")
        await storage.delete("one")
        await window.press("alt+shift+w")
        await window.sees("cannot be opened")
        await window.press("alt+shift+w")
        await window.reads("two 1")
