"""Tests of questions and answers in one tab."""

from functools import partial

import pytest

from koel_tui.conversation.conversation import Conversation
from koel_tui.storage import MemoryStorage
from koel_tui.ui.transcript.message_view import MessageView
from koel_tui.ui.transcript.transcript import FLUSH_INTERVAL
from tests.ui.window import opened


async def test_a_question_and_its_answer_are_shown_as_they_come() -> None:
    async with opened() as window:
        turn = await window.ask("Why is the sky blue?")
        assert turn.prompt == "Why is the sky blue?"
        assert window.prompt.text == ""
        await window.sees("Why is the sky blue?")
        turn.write("Because of ")
        await window.sees("Because of")
        turn.write("**scattering**.")
        await window.sees("Because of scattering.")
        turn.finish()
        await window.until(lambda: "⌛" not in window.screen)


async def test_the_thread_is_saved_and_the_status_line_says_so() -> None:
    storage = MemoryStorage()
    async with opened(storage=storage) as window:
        turn = await window.ask("Keep this")
        turn.write("Kept.")
        turn.finish()
        await window.sees("Kept.")
        await window.misses("⌛")
        await window.until(lambda: window.status.rstrip().endswith("saved"))
        (summary,) = await storage.summaries()
        assert (summary.title, summary.messages) == ("Keep this", 2)


async def test_nothing_but_white_space_is_not_sent() -> None:
    async with opened() as window:
        await window.type("  \n ")
        await window.press("enter")
        assert window.agent.turns == []
        assert window.prompt.text == "  \n "


async def test_every_word_arrives_however_fast_the_model_writes() -> None:
    async with opened() as window:
        turn = await window.ask("Count")
        words = [f"w{n}" for n in range(400)]
        for word in words:
            turn.write(f"{word} ")
        turn.finish()
        await window.until(lambda: window.shown[-1:] == ["".join(f"{w} " for w in words)])
        await window.sees("w399")


async def test_streamed_markdown_looks_like_markdown_shown_at_once() -> None:
    text = (
        "# Title\n\n- one\n  - two\n\n```python\nx = 1\n```\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd."
    )
    async with opened(size=(80, 40)) as window:
        turn = await window.ask("Show")
        for start in range(0, len(text), 7):
            turn.write(text[start : start + 7])
            await window.pilot.pause()
        turn.finish()
        await window.sees("End.")
        await window.misses("⌛")
        streamed = window.lines[2:-5]
        await window.press("ctrl+n")
        await window.press("alt+1")
        await window.sees("End.")
        assert window.lines[2:-5] == streamed


async def test_a_partial_answer_continues_correctly_after_a_visit_to_another_tab() -> None:
    async with opened(size=(80, 30)) as window:
        turn = await window.ask("Code")
        turn.write("```python\nfirst = 1\n")
        await window.sees("first = 1")
        await window.press("ctrl+n", "alt+1")
        turn.write("second = 2\n```\n\nAfter.")
        turn.finish()
        await window.sees("After.")
        await window.sees("second = 2")
        await window.until(lambda: "```" not in window.screen)


async def test_a_link_defined_after_its_use_becomes_a_link_at_the_end() -> None:
    async with opened() as window:
        turn = await window.ask("Link")
        turn.write("See [the docs][1].\n\n")
        await window.sees("[the docs][1]")
        turn.write("[1]: https://example.org/")
        turn.finish()
        await window.sees("See the docs.")


async def test_escape_stops_the_answer_and_keeps_the_received_text() -> None:
    async with opened() as window:
        turn = await window.ask("Long story")
        turn.write("Once upon a time")
        await window.sees("Once upon")
        await window.press("escape")
        await window.until(turn.closed.is_set)
        await window.sees("stopped")
        await window.sees("Once upon a time")
        again = await window.ask("And then?")
        assert [message.content for message in again.asked.messages] == [
            "Long story",
            "Once upon a time",
            "And then?",
        ]


async def test_a_stop_before_the_first_word_is_reported() -> None:
    async with opened() as window:
        await window.ask("Never mind")
        await window.press("escape")
        await window.sees("The answer was stopped before it began. ctrl+r asks again.")
        await window.press("ctrl+r")
        await window.until(lambda: len(window.agent.turns) == 2)
        assert window.agent.turns[1].prompt == "Never mind"
        await window.press("escape")
        await window.sees("answer was stopped before it began")
        await window.ask("Now")
        await window.misses("answer was stopped before it began")


async def test_report_41_turns_that_did_not_fit_are_reported() -> None:
    async with opened() as window:
        turn = await window.ask("Long")
        turn.write("short")
        turn.measure(model="M", trimmed_turns=3, context_tokens=256)
        turn.finish()
        await window.sees("The oldest 3 turns did not fit the context and were left out.")


async def test_a_message_sent_during_an_answer_is_queued_and_sent_after_it() -> None:
    async with opened() as window:
        first = await window.ask("One")
        first.write("1")
        await window.type("Two")
        await window.press("enter")
        await window.sees("queued: Two")
        assert len(window.agent.turns) == 1
        first.finish()
        await window.until(lambda: len(window.agent.turns) == 2)
        assert window.agent.turns[1].prompt == "Two"
        await window.misses("queued: Two")


async def test_escape_restores_queued_text_before_typed_text() -> None:
    async with opened() as window:
        await window.ask("One")
        await window.type("Two")
        await window.press("enter")
        await window.sees("queued: Two")
        await window.type("Three")
        await window.press("escape")
        await window.until(lambda: window.prompt.text == "Two\n\nThree")
        assert len(window.agent.turns) == 1


async def test_an_error_is_a_row_with_its_cause_and_the_next_step() -> None:
    async with opened() as window:
        turn = await window.ask("Break")
        await window.type("Next")
        await window.press("enter")
        await window.sees("queued: Next")
        turn.fail("The engine ended. The next message starts it again.")
        await window.sees("✗ The engine ended. The next message starts it again.")
        await window.sees("up restores your message")
        await window.has_tabs("1 Break ✗")
        # The queued message is not sent after the failure: it returns to the prompt.
        assert window.prompt.text == "Next"
        await window.until(lambda: "Break" in window.shown)
        await window.press("ctrl+a", "ctrl+k", "up")
        await window.until(lambda: window.prompt.text == "Next")
        await window.press("up")
        assert window.prompt.text == "Break"


async def test_a_failed_turn_is_retried_without_a_second_copy_of_its_message() -> None:
    async with opened() as window:
        turn = await window.ask("Break")
        turn.write("half of")
        turn.fail("The engine ended.")
        await window.sees("Retry (alt+r)")
        await window.sees("alt+g continues the answer.")
        await window.press("alt+r")
        await window.until(lambda: len(window.agent.turns) == 2)
        await window.misses("The engine ended.")
        window.agent.turns[1].fail("Again.")
        await window.sees("✗ Again.")
        await window.sees("up restores your message")
        row = next(n for n, line in enumerate(window.lines) if "Retry" in line)
        await window.pilot.click(offset=(window.lines[row].index("Retry") + 1, row))
        await window.until(lambda: len(window.agent.turns) == 3)
        again = window.agent.turns[2]
        assert [message.content for message in again.asked.messages] == ["Break"]
        again.write("Whole.")
        again.finish()
        await window.sees("Whole.")
        await window.misses("⌛")
        await window.until(lambda: window.shown == ["Break", "Whole."])
        await window.until(lambda: "Retry" not in window.screen)


async def test_retrying_requires_a_failed_turn() -> None:
    async with opened() as window:
        await window.press("alt+r")
        await window.sees("No answer failed, so")


async def test_the_status_line_shows_the_phase_and_the_figures_of_a_run() -> None:
    async with opened() as window:
        turn = await window.ask("Figures")
        turn.report(phase="queued", position=1)
        await window.until(lambda: "queued: 1 ahead" in window.status)
        turn.report(phase="reading", fraction=0.4)
        await window.until(lambda: "reading 40%" in window.status)
        await window.has_tabs("1 Figures reading 40%")
        turn.write("x")
        await window.until(lambda: "writing" in window.status)
        await window.has_tabs("1 Figures ⌛")
        turn.measure(
            model="Other-7B",
            prompt_tokens=1000,
            output_tokens=240,
            context_tokens=8192,
            decode_tokens_per_s=112.4,
        )
        turn.finish()
        await window.until(
            lambda: "Other-7B · ctx 1.2k/8.2k ▓░░░ · 112 tok/s · saved" in window.status
        )


async def test_the_view_follows_the_end_only_while_the_user_is_there() -> None:
    async with opened() as window:
        turn = await window.ask("Lines")
        turn.write("".join(f"line {n}\n\n" for n in range(60)))
        await window.sees("line 59")
        await window.press("pageup")
        await window.misses("line 59")
        before = window.lines[2:10]
        turn.write("last words")
        await window.until(lambda: window.shown[-1].endswith("last words"))
        await window.pilot.pause(2 * FLUSH_INTERVAL)
        assert window.lines[2:10] == before
        await window.press("pagedown", "pagedown")
        await window.sees("last words")
        turn.write(" and more")
        await window.sees("and more")


async def test_an_answer_too_rich_for_markdown_becomes_plain_text_while_it_grows() -> None:
    async with opened() as window:
        turn = await window.ask("List")
        turn.write("- item\n" * 30)
        await window.sees("• item")
        turn.write("- item\n" * 2000 + "the end")
        await window.sees("- item")
        turn.finish()
        await window.sees("the end")
        assert len(window.transcript.query("*")) < 50


async def test_a_message_view_is_updated_with_its_message_without_being_replaced() -> None:
    async with opened() as window:
        turn = await window.ask("Same")
        turn.write("a")
        await window.until(lambda: len(window.shown) == 2)
        view = window.transcript.query(MessageView).last()
        turn.write("b")
        turn.finish()
        await window.until(lambda: window.shown == ["Same", "ab"] and "⌛" not in window.screen)
        assert window.transcript.query(MessageView).last() is view


async def test_a_stopped_answer_is_continued_in_its_own_message() -> None:
    async with opened() as window:
        turn = await window.ask("Tell.")
        turn.write("Once upon")
        await window.sees("Once upon")
        await window.press("escape")
        await window.sees("alt+g continues the answer.")
        await window.press("alt+g")
        await window.until(lambda: len(window.agent.turns) == 2)
        second = window.agent.turns[1]
        assert second.prompt == "Once upon"
        second.continue_answer()
        second.write(" a time.")
        second.finish()
        await window.sees("Once upon a time.")
        await window.until(lambda: not any("alt+g" in line for line in window.lines))


async def test_continuing_requires_an_incomplete_answer() -> None:
    async with opened() as window:
        await window.press("alt+g")
        await window.sees("The last answer is complete")


def _ends_with(conversation: Conversation, text: str) -> bool:
    return conversation.last_answer.endswith(text)


async def test_a_token_is_announced_once_and_its_entries_are_built_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened() as window:
        turn = await window.ask("Count.")
        turn.write("from ")
        await window.reads("from")
        announced: list[Conversation] = []
        announce = window.app._main.on_conversation_changed

        def count(conversation: Conversation) -> None:
            announced.append(conversation)
            announce(conversation)

        monkeypatch.setattr(window.app._main, "on_conversation_changed", count)
        conversation = window.app._workspace.active
        for number in range(20):
            turn.write(f"{number} ")
            await window.until(partial(_ends_with, conversation, f" {number} "))
            await window.handled()
        await window.reads("19")
        assert announced == [conversation] * 20
        assert conversation.is_busy and conversation.entries() is conversation.entries()
