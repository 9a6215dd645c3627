"""Tests of folded thinking and tool calls, and of the code blocks of answers."""

from koel_tui.conversation.entries import build_entries
from koel_tui.protocol import Message, ToolCall
from koel_tui.ui.conversation.code_blocks import code_blocks
from koel_tui.ui.transcript.folded_view import FoldedView
from koel_tui.ui.transcript.plain_text import PlainText
from tests.ui.window import opened

TALK = (
    Message("u", "user", "Weather?"),
    Message(
        "a",
        "assistant",
        reasoning="I need a tool.",
        tool_calls=(ToolCall("c", "weather", '{"city": "Bonn"}', "a"),),
    ),
    Message("r", "tool", '{"sky": "clear"}', tool_call_id="c"),
    Message("b", "assistant", "It is clear."),
)


def test_a_call_is_shown_with_its_result_and_not_twice() -> None:
    shown = list(build_entries(TALK))
    assert [(entry.role, entry.text) for entry in shown] == [
        ("user", "Weather?"), ("thinking", ""), ("call", ""), ("assistant", "It is clear."),
    ]  # fmt: skip
    assert shown[1].note == "thought, 4 words"
    assert shown[2].note == 'weather {"city": "Bonn"} → {"sky": "clear"}'


def test_unfolded_blocks_have_their_text() -> None:
    thinking, call = list(build_entries(TALK, is_unfolded=True))[1:3]
    assert thinking.text == "I need a tool."
    assert '  "city": "Bonn"' in call.text and '  "sky": "clear"' in call.text


def test_a_result_without_its_call_is_shown_by_itself() -> None:
    assert [entry.role for entry in build_entries(TALK[2:])] == ["tool", "assistant"]


async def test_thinking_and_calls_are_folded_until_the_user_unfolds_them() -> None:
    async with opened() as window:
        turn = await window.ask("Weather?")
        turn.think("I need ", "a tool.")
        turn.call("weather", '{"city":"Bonn"}', "clear \x1b[31m")
        turn.write("It is clear.")
        turn.finish()
        await window.sees("▸ thought, 4 words")
        await window.sees('▸ weather {"city":"Bonn"} → clear ␛[31m')
        assert not window.transcript.query("FoldedView PlainText")
        await window.press("ctrl+t")
        await window.sees("I need a tool.")
        await window.sees("▾ weather")
        assert len(window.transcript.query(PlainText)) == 3  # one of them is the user's message
        await window.press("ctrl+t")
        await window.sees("▸ thought, 4 words")
        await window.until(lambda: not window.transcript.query("FoldedView PlainText"))
        assert len(window.transcript.query(FoldedView)) == 2


async def test_an_unfolded_thinking_block_shows_new_thinking() -> None:
    async with opened() as window:
        await window.press("ctrl+t")
        turn = await window.ask("Hm?")
        turn.think("first ", "second")
        await window.sees("▾ thinking… 2 words")
        await window.sees("first second")
        turn.write("Done.")
        turn.finish()
        await window.sees("▾ thought, 2 words")


def test_code_blocks_are_found_as_the_parser_finds_them() -> None:
    text = "a\n```python x\nprint(1)\n```\nb\n\n    indented\n\n~~~\n~~~\n"
    blocks = code_blocks(text)
    assert [(block.language, block.text) for block in blocks] == [
        ("python", "print(1)\n"), ("", "indented\n"), ("", ""),
    ]  # fmt: skip
    assert blocks[0].description == "python, 1 line"


async def test_answers_and_their_code_are_copied_by_key() -> None:
    async with opened(size=(100, 24)) as window:
        await window.press("alt+c")
        await window.sees("no answer to copy")
        turn = await window.ask("Code?")
        turn.write("One:\n```python\nprint(1)\n```\ntwo:\n```\nls\nps\n```\n")
        turn.finish()
        await window.sees("two:")
        await window.press("alt+b")
        await window.sees("Sent code block 2 of 2 (2 lines)")
        assert window.app.clipboard == "ls\nps\n"
        await window.press("alt+b")
        await window.sees("Sent code block 1 of 2 (python, 1 line)")
        await window.press("alt+b")
        await window.until(lambda: window.app.clipboard == "ls\nps\n")
        await window.press("alt+c")
        await window.until(lambda: window.app.clipboard.startswith("One:"))
