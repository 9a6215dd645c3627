"""The conversion of a thread for each run: its earlier turns are converted only once."""

from collections.abc import Sequence
from typing import Any

from ag_ui import core
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import Message, ToolCall, to_ag_ui
from koel_tui.protocol.messages import STEP, MessageConverter

LONG = 10 * STEP


def thread(count: int) -> list[Message]:
    """Return alternating questions and answers."""
    return [
        Message(str(number), "user" if number % 2 == 0 else "assistant", f"text {number}")
        for number in range(count)
    ]


def converted(
    converter: MessageConverter, messages: Sequence[Message], echo: dict[str, bytes] | None = None
) -> tuple[list[core.Message], int]:
    """Return the converted messages, and the number of pauses for the event loop."""
    steps = converter.steps(messages, echo)
    pauses = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, pauses
        pauses += 1


def test_the_first_conversion_of_a_long_thread_has_many_short_steps() -> None:
    messages = thread(LONG)
    sent, pauses = converted(MessageConverter(), messages)
    assert sent == to_ag_ui(messages) and len(sent) == LONG
    assert pauses >= LONG / STEP - 2


def test_a_short_thread_is_converted_at_once() -> None:
    assert converted(MessageConverter(), thread(STEP))[1] == 0


def test_the_next_conversion_converts_the_last_turn_only() -> None:
    converter = MessageConverter()
    messages = thread(LONG)
    first, _ = converted(converter, messages)
    for number in range(3):
        messages += [Message(f"q{number}", "user", "more"), Message(f"a{number}", "assistant", "x")]
        sent, pauses = converted(converter, messages)
        assert pauses == 0
        assert sent == to_ag_ui(messages)
        same = sum(old is new for old, new in zip(first, sent, strict=False))
        assert same == LONG - 2, "only the turn that was the last one is converted again"


def test_an_edit_before_the_last_turn_is_converted_again() -> None:
    converter = MessageConverter()
    converted(converter, thread(LONG))
    edited = thread(LONG)
    edited[10] = Message("new", "user", "something else")
    assert converted(converter, edited)[0] == to_ag_ui(edited)
    assert converted(converter, edited[:11])[0] == to_ag_ui(edited[:11])
    assert converted(converter, [])[0] == []


_calls = st.sampled_from(["c1", "c2"])
_kinds = st.one_of(
    st.just(("user", "")),
    st.just(("assistant", "")),
    st.just(("thinking", "")),
    st.tuples(st.just("call"), _calls),
    st.tuples(st.just("tool"), _calls),
    st.just(("activity", "")),
)
_NAMES = ["m1", "m3", "r0", "r2", "r4", "c1", "elsewhere"]


def message(number: int, kind: str, call: str) -> Message:
    """Return a message of one of the kinds above; `number` makes its ids unique."""
    match kind:
        case "thinking":
            thought = f"thought {number}"
            return Message(
                f"m{number}", "assistant", reasoning=thought, reasoning_ids=(f"r{number}",)
            )
        case "call":
            return Message(f"m{number}", "assistant", tool_calls=(ToolCall(call, "find"),))
        case "tool":
            return Message(f"m{number}", "tool", "42", tool_call_id=call)
    return Message(f"m{number}", kind, f"text {number}", reasoning_ids=(f"r{number}",))


@given(
    st.lists(
        st.tuples(_kinds, st.dictionaries(st.sampled_from(_NAMES), st.just(b"x"), max_size=2)),
        max_size=12,
    ),
    st.integers(0, 12),
)
def test_repeated_conversions_equal_a_new_conversion(
    history: list[tuple[tuple[str, str], dict[str, bytes]]], cut: int
) -> None:
    """The threads contain calls without results, results without calls and encrypted values."""
    converter = MessageConverter()
    messages: list[Message] = []
    echo: dict[str, Any] = {}
    for number, ((kind, call), values) in enumerate(history):
        if number == cut:
            messages = messages[: number // 2]
        messages = [*messages, message(number, kind, call)]
        echo = {**echo, **values}
        assert converted(converter, messages, echo)[0] == to_ag_ui(messages, echo)
