"""Tests of answers that were cut or have only thinking: the row below, and continuing them."""

from typing import Any

import pytest

from koel_tui.conversation.incomplete_answers import incomplete_reason
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import MemoryStorage
from tests.plain.console import Plain, plain
from tests.ui.scripted import Turn
from tests.ui.window import Window, opened

FIGURES = {"prompt_tokens": 20, "output_tokens": 256, "context_tokens": 8192}
CUT = "The answer was cut at the limit of 256 tokens."


async def cut(window: Window | Plain, question: str, answer: str, **figures: Any) -> Turn:
    """Ask a question, and cut its answer at the token limit."""
    turn = await window.ask(question)
    turn.write(answer)
    turn.measure(**{**FIGURES, **figures})
    turn.finish("length")
    return turn


async def test_report_2_a_cut_answer_has_a_row_and_is_continued_in_its_own_message() -> None:
    async with opened() as window:
        await cut(window, "Tell.", "Once upon")
        await window.sees(f"{CUT} alt+g continues it.")
        await window.sees("cut off")
        await window.press("alt+g")
        await window.until(lambda: len(window.agent.turns) == 2)
        second = window.agent.turns[1]
        assert second.prompt == "Once upon"
        second.continue_answer()
        second.write(" a time.")
        second.finish("end")
        await window.sees("Once upon a time.")
        await window.misses("alt+g")
        await window.misses("cut off")


async def test_report_2_an_answer_that_filled_the_context_has_a_row() -> None:
    async with opened() as window:
        await cut(window, "Tell.", "Once upon", prompt_tokens=200, output_tokens=56,
                  context_tokens=256)  # fmt: skip
        await window.sees(
            "The answer was cut by the full context of 256 tokens. alt+g continues it."
        )


async def test_only_the_newest_answer_offers_to_be_continued_and_the_others_keep_their_mark() -> (
    None
):
    async with opened(size=(80, 30)) as window:
        await cut(window, "One", "First half")
        await window.sees("alt+g continues it.")
        await cut(window, "Two", "Second half", output_tokens=1)
        await window.sees("The answer was cut at the limit of 1 token. alt+g continues it.")
        assert window.screen.count("alt+g") == 1
        await window.until(lambda: window.screen.count("cut off") == 2, "both marks")
        turn = await window.ask("Three")
        turn.write("Whole.")
        turn.finish("end")
        await window.sees("Whole.")
        await window.misses("alt+g")
        await window.press("alt+g")
        await window.sees("The last answer is complete, so there is nothing to continue.")


async def test_report_3_thinking_cut_at_the_limit_names_the_key_for_a_longer_limit() -> None:
    async with opened() as window:
        turn = await window.ask("Riddle?")
        turn.think("Let me see.")
        turn.finish("length")
        await window.sees("alt+g continues it, f2")
        await window.press("f2")
        await window.sees("Max output tokens")


async def test_report_3_an_answer_of_thinking_only_is_shown_and_continued() -> None:
    async with opened() as window:
        turn = await window.ask("Riddle?")
        turn.think("Let me see.")
        turn.finish("end")
        await window.sees("thought, 3 words, no answer")
        await window.sees("The model only thought and wrote no answer. alt+g continues it.")
        await window.press("alt+g")
        await window.until(lambda: len(window.agent.turns) == 2)
        second = window.agent.turns[1]
        second.continue_answer()
        second.write("An egg.")
        second.finish("end")
        await window.sees("An egg.")
        await window.misses("no answer")


async def test_the_palette_continues_a_cut_answer() -> None:
    async with opened() as window:
        await cut(window, "Tell.", "Once upon")
        await window.sees("alt+g continues it.")
        await window.press("ctrl+p")
        await window.type("continue the answer")
        await window.sees("Continue the answer that was stopped or cut")
        await window.press("down", "enter")
        await window.until(lambda: len(window.agent.turns) == 2)


async def test_report_2_a_saved_answer_that_was_cut_is_continued_after_it_is_opened() -> None:
    storage = MemoryStorage()
    messages = (
        Message("1", "user", "Tell."),
        Message("2", "assistant", "Once upon", finish_reason="length", usage=FIGURES),
    )
    await storage.save("story", ChatState(messages=messages))
    async with opened(storage=storage, thread="story") as window:
        await window.sees(f"{CUT} alt+g continues it.")
        await window.press("alt+g")
        await window.until(lambda: len(window.agent.turns) == 1)
        assert window.agent.turns[0].prompt == "Once upon"


async def test_report_2_plain_mode_prints_that_an_answer_was_cut_and_continues_it() -> None:
    async with plain() as chat:
        await cut(chat, "Tell.", "Once upon")
        await chat.prints("Model: Once upon")
        await chat.prints(f"{CUT} /continue continues it.")
        await chat.enter("/continue")
        await chat.until(lambda: len(chat.agent.turns) == 2)
        second = chat.agent.turns[1]
        second.continue_answer()
        second.write(" a time.")
        second.finish("end")
        await chat.prints("Model: a time.")
        await chat.enter("/continue")
        await chat.prints("Error: The last answer is complete, so there is nothing to continue.")


async def test_report_3_plain_mode_prints_that_the_model_only_thought_and_continues() -> None:
    async with plain() as chat:
        turn = await chat.ask("Riddle?")
        turn.think("Let me see.")
        turn.finish("end")
        await chat.prints("The model only thought and wrote no answer. /continue continues it.")
        await chat.enter("/continue")
        await chat.until(lambda: len(chat.agent.turns) == 2)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Message("1", "assistant", "All.", finish_reason="end"), ""),
        (Message("1", "user", "Asked.", finish_reason="length"), ""),
        (Message("1", "assistant", "H", interrupted=True), "The answer was stopped."),
        (Message("1", "assistant", "H", finish_reason="length"),
         "The answer was cut at its limit."),
        (Message("1", "assistant", "H", finish_reason="length", usage={"output_tokens": "many"}),
         "The answer was cut at its limit."),
        (Message("1", "assistant", "", reasoning="Hm.", finish_reason="length", usage=FIGURES),
         "The model only thought, and was cut at the limit of 256 tokens."),
        (Message("1", "assistant", " \n", reasoning="Hm."),
         "The model only thought and wrote no answer."),
    ],
)  # fmt: skip
def test_the_reason_of_an_incomplete_answer_is_found(message: Message, why: str) -> None:
    assert incomplete_reason([message]) == why
    assert incomplete_reason([message, Message("2", "user", "Next.")]) == ""
    assert incomplete_reason([]) == ""
