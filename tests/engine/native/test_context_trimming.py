"""Overflow trimming: what stays, what leaves, and how often the prompt is made for it."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine import ChatMessage, ContextOverflowError, ToolCallDelta
from koel_tui.engine.native.context.context_trimming import (
    Messages,
    TrimmedConversation,
    trim_to_fit,
)

SYSTEM = ChatMessage("system", "s")


def prompt_of(messages: Messages) -> list[int]:
    """One token a character, and one for each message."""
    return [0] * sum(len(message.content) + 1 for message in messages)


def turn(question: str, answer: str = "a") -> Messages:
    return ChatMessage("user", question), ChatMessage("assistant", answer)


def tool_turn(question: str) -> Messages:
    call = ToolCallDelta("c", "now", "{}")
    return (
        ChatMessage("user", question),
        ChatMessage("assistant", "", tool_calls=(call,)),
        ChatMessage("tool", "noon", tool_call_id="c"),
        ChatMessage("assistant", "noon"),
    )


turns = st.lists(
    st.builds(turn, st.text("x", min_size=1, max_size=9), st.text("y", max_size=9))
    | st.builds(tool_turn, st.text("x", min_size=1, max_size=9)),
    max_size=20,
)
heads = st.lists(st.just(SYSTEM), max_size=2).map(tuple)
greetings = st.just(()) | st.just((ChatMessage("assistant", "hello"),))
newest = st.text("z", min_size=1, max_size=9).map(lambda text: (ChatMessage("user", text),))


def joined(parts: list[Messages]) -> Messages:
    return tuple(message for part in parts for message in part)


@given(heads, greetings, turns, newest, st.integers(1, 200), st.integers(0, 60))
def test_engine_case_25_fit_keeps_the_head_the_newest_and_whole_turns(
    head: Messages,
    greeting: Messages,
    old: list[Messages],
    last: Messages,
    context_tokens: int,
    reserve: int,
) -> None:
    room = max(1, reserve)
    parts = [*([greeting] if greeting else []), *old, last]
    smallest = len(prompt_of(head + last))
    try:
        fitted = trim_to_fit(
            head + joined(parts), prompt_of, context_tokens=context_tokens, reserve=reserve
        )
    except ContextOverflowError:
        assert smallest >= context_tokens
        return
    assert fitted.messages == head + joined(parts[fitted.dropped_turns :])
    assert len(fitted.prompt) == len(prompt_of(fitted.messages)) < context_tokens
    if fitted.dropped_turns < len(parts) - 1:
        assert len(fitted.prompt) + room <= context_tokens
    if fitted.dropped_turns:
        excess = len(prompt_of(head + joined(parts))) + room - context_tokens
        more = len(prompt_of(head + joined(parts[fitted.dropped_turns - 1 :])))
        freed_without_the_last = len(prompt_of(head + joined(parts))) - more
        assert excess > 0
        assert freed_without_the_last < excess + max(1, context_tokens // 4), (
            "more left than a quarter"
        )


@given(heads, st.lists(turns.filter(bool).map(lambda some: some[0]), min_size=5, max_size=80))
def test_fit_the_beginning_stays_the_same_until_a_quarter_is_filled_again(
    head: Messages, conversation: list[Messages]
) -> None:
    context_tokens, quarter, changes = 120, 30, [(0, 0)]
    for newest in range(len(conversation)):
        messages = head + joined(conversation[:newest]) + conversation[newest][:1]
        fitted = trim_to_fit(messages, prompt_of, context_tokens=context_tokens, reserve=20)
        assert fitted.dropped_turns >= changes[-1][0], "a turn that had left is back"
        if fitted.dropped_turns > changes[-1][0]:
            changes.append((fitted.dropped_turns, len(prompt_of(messages))))
    largest = max(len(prompt_of(turn)) for turn in conversation)
    for (_, before), (_, after) in pairwise(changes[1:]):
        assert after - before > quarter - largest


def test_fit_a_large_turn_stays_while_there_is_room_for_it() -> None:
    document = turn("d" * 50)
    grown = joined([*[turn("x" * 7)] * 4, document])
    dropped_turns = []
    for _ in range(8):
        grown += turn("x" * 3)
        messages = (*grown, ChatMessage("user", "q"))
        fitted = trim_to_fit(messages, prompt_of, context_tokens=100, reserve=20)
        assert (document[0] in fitted.messages) == (len(prompt_of(messages)) - 40 <= 80)
        dropped_turns.append(fitted.dropped_turns)
    assert dropped_turns == sorted(dropped_turns)
    assert {4, 5} < set(dropped_turns)


@pytest.mark.parametrize("context_tokens", [10**6, 5000, 100, 12])
def test_fit_asks_for_few_prompts(context_tokens: int) -> None:
    asked: list[int] = []

    def counting(messages: Messages) -> list[int]:
        asked.append(len(messages))
        return prompt_of(messages)

    messages = (SYSTEM, *joined([turn("question")] * 1000), ChatMessage("user", "last"))
    fitted = trim_to_fit(messages, counting, context_tokens=context_tokens, reserve=4)
    assert fitted.messages[-1].content == "last"
    assert len(asked) <= (1 if context_tokens == 10**6 else math.ceil(math.log2(1001)) + 2)


def test_fit_the_reserve_shrinks_for_the_newest_turn() -> None:
    messages = (SYSTEM, *turn("old"), ChatMessage("user", "x" * 90))
    fitted = trim_to_fit(messages, prompt_of, context_tokens=100, reserve=50)
    assert fitted == TrimmedConversation((SYSTEM, messages[-1]), [0] * 93, 1)


def test_fit_a_newest_turn_larger_than_the_window_is_an_error_with_both_numbers() -> None:
    with pytest.raises(ContextOverflowError, match=r"takes 201 tokens, the context has 100\b"):
        trim_to_fit((ChatMessage("user", "x" * 200),), prompt_of, context_tokens=100, reserve=1)
    with pytest.raises(ContextOverflowError, match=r"newest turn .* takes 103 tokens, the context"):
        trim_to_fit(
            (SYSTEM, *turn("old"), ChatMessage("user", "x" * 100)),
            prompt_of,
            context_tokens=103,
            reserve=1,
        )


def test_fit_nothing_and_only_a_system_prompt() -> None:
    assert trim_to_fit((), prompt_of, context_tokens=10, reserve=1) == TrimmedConversation(
        (), [], 0
    )
    assert trim_to_fit((SYSTEM,), prompt_of, context_tokens=10, reserve=1).messages == (SYSTEM,)
