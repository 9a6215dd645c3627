"""Tests of two threads side by side: one prompt for both, two answers, swapping and closing."""

import pytest

from koel_tui.storage import MemoryStorage
from koel_tui.ui.conversation.transcript_column import TranscriptColumn
from koel_tui.workspace.tab_order import TabOrder
from tests.ui.window import Window, messages, opened


def test_a_pair_is_shown_while_either_of_its_tabs_is_active() -> None:
    tabs = TabOrder("a")
    for item in ("b", "c"):
        tabs.add(item)
    assert tabs.paired is None
    tabs.pair_with("a")
    assert tabs.paired == "a"
    tabs.activate("a")
    assert tabs.paired == "c"
    tabs.mark_unread("c")
    assert not tabs.is_unread("c")
    tabs.activate("b")
    assert tabs.paired is None
    tabs.activate("c")
    tabs.remove("a")
    assert tabs.paired is None


async def readers(window: Window) -> tuple[str, str]:
    """Return the text of both columns as the screen shows it."""
    front, paired = window.app.screen.query(TranscriptColumn).results(TranscriptColumn)
    lines = window.lines
    return tuple(  # type: ignore[return-value]  # it has two items
        "\n".join(
            line[reader.region.x : reader.region.right]
            for line in lines[reader.region.y : reader.region.bottom]
        )
        for reader in (front, paired)
    )


async def both(window: Window, question: str, *answers: str) -> None:
    """Send one question to both threads, and wait for both answers."""
    before = len(window.agent.turns)
    await window.type(question)
    await window.press("enter")
    await window.until(lambda: len(window.agent.turns) == before + 2, "two runs")
    for turn, answer in zip(window.agent.turns[before:], answers, strict=True):
        turn.write(answer)
        turn.finish()
    for answer in answers:
        await window.sees(answer)
    await window.until(lambda: "saved" in window.status)


async def test_one_prompt_asks_two_threads_and_each_answers() -> None:
    storage = MemoryStorage()
    async with opened(storage=storage, size=(100, 24)) as window:
        await window.press("alt+s")
        await window.has_tabs("1 New thread", "2 New thread")
        await both(window, "Name a tree", "An oak.", "An elm.")
        front, paired = await readers(window)
        assert "An oak." in front and "An elm." not in front
        assert "An elm." in paired and "An oak." not in paired
        assert front.startswith(" Name a tree") and "Name a tree" in paired
        await window.press("alt+s")
        await window.misses("An elm.")
        await window.sees("An oak.")
        await window.press("f6")
        await window.sees("An elm.")
        await window.misses("An oak.")
        turn = await window.ask("Why?")
        assert len(window.agent.turns) == 3
        turn.finish()
    assert len(await storage.list_threads()) == 2


async def test_swapping_activates_the_paired_tab_and_keeps_the_prompt() -> None:
    async with opened(size=(100, 24)) as window:
        await window.press("alt+s")
        await both(window, "Name a tree", "An oak.", "An elm.")
        await window.type("my draft")
        await window.press("alt+x")
        await window.until(
            lambda: window.app._workspace.tabs.number(window.app._workspace.active) == 2
        )
        await window.prompts("my draft")
        await window.sees("An oak.")
        front, paired = await readers(window)
        assert "An elm." in front and "An oak." in paired
        await window.press("ctrl+r")
        await window.until(lambda: len(window.agent.turns) == 3)
        window.agent.turns[2].write("A fir.")
        window.agent.turns[2].finish()
        await window.sees("A fir.")
        assert "‹2/2›" in (await readers(window))[0]


async def test_a_paired_thread_has_its_own_role_and_one_of_the_pair_is_closed() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(2))
    await storage.update_meta("t", system="Be rude.", title="Rude")
    async with opened(storage=storage, thread="t", size=(100, 24)) as window:
        await window.reads("message 1")
        await window.press("ctrl+n")
        await window.has_tabs("1 Rude", "2 New thread")
        await window.press("alt+s")
        await window.sees("Side by side")
        await window.press("down", "enter")
        await window.sees("message 1")
        await window.type("Go on")
        await window.press("enter")
        await window.until(lambda: len(window.agent.turns) == 2)
        systems = [turn.settings.system or "" for turn in window.agent.turns]
        assert sorted(systems) == ["", "Be rude."]
        await window.press("escape")
        await window.until(lambda: all(turn.closed.is_set() for turn in window.agent.turns))
        await window.press("alt+w")
        await window.has_tabs("1 Rude")
        await window.sees("message 1")
        assert (
            len([reader for reader in window.app.screen.query(TranscriptColumn) if reader.display])
            == 1
        )


async def test_a_new_paired_thread_inherits_the_settings_of_the_active_thread() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(2))
    await storage.update_meta("t", system="Be rude.", title="Rude")
    async with opened(storage=storage, thread="t", size=(100, 24)) as window:
        await window.reads("message 1")
        await window.press("alt+s")
        await window.has_tabs("1 Rude", "2 New thread")
        await window.type("Go on")
        await window.press("enter")
        await window.until(lambda: len(window.agent.turns) == 2)
        systems = [turn.settings.system for turn in window.agent.turns]
        assert systems == ["Be rude."] * 2


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_both_paired_threads_are_shown_in_a_small_window(size: tuple[int, int]) -> None:
    async with opened(size=size) as window:
        await window.press("alt+s")
        await both(window, "Name a tree", "An oak.", "An elm.")
        await window.press("pageup", "pagedown")
        front, paired = await readers(window)
        assert "An oak." in front and "An elm." in paired


async def test_swapping_without_a_pair_is_reported() -> None:
    async with opened() as window:
        await window.press("alt+x")
        await window.sees("No tab is shown side by side")


async def test_swapping_restores_the_draft_of_each_tab() -> None:
    async with opened(size=(100, 24)) as window:
        await window.type("front words")
        await window.press("ctrl+n")
        await window.type("second draft")
        await window.press("alt+s")
        await window.sees("Side by side")
        await window.press("down", "enter")
        await window.until(
            lambda: len([r for r in window.app.screen.query(TranscriptColumn) if r.display]) == 2
        )
        await window.press("alt+x")
        await window.until(
            lambda: window.app._workspace.tabs.number(window.app._workspace.active) == 1
        )
        await window.prompts("second draft")
        await window.press("alt+s", "f6")
        await window.prompts("front words")


async def test_a_message_that_is_edited_stays_in_its_thread_when_the_two_are_swapped() -> None:
    async with opened(size=(100, 24)) as window:
        await window.press("alt+s")
        await both(window, "Name a tree", "An oak.", "An elm.")
        await window.press("alt+e")
        await window.type(" of the north")
        await window.press("alt+x")
        await window.prompts("")
        await window.misses("editing your message")
        await window.press("alt+x")
        await window.prompts("Name a tree of the north")
        await window.sees("editing your message")


async def test_a_read_only_paired_thread_does_not_get_the_prompt() -> None:
    async with opened(size=(100, 24)) as window:
        await window.press("alt+s")
        front, paired = window.app._workspace.active, window.app._workspace.tabs.paired
        assert paired is not None
        paired.read_only_reason = "Another program has it."
        turn = await window.ask("Name a tree")
        turn.finish()
        await window.until(lambda: "saved" in window.status)
        assert len(window.agent.turns) == 1 and not paired.queue
        paired.read_only_reason, front.read_only_reason = "", "Another program has it."
        turn = await window.ask("Name another")
        assert turn.asked.thread_id == paired.thread_id
        await window.prompts("")
        turn.finish()
