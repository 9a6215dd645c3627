"""The time to fold a stream is linear in its length: ten times the events, ten times the time."""

import time
from collections.abc import Callable

import pytest
from ag_ui.core import (
    BaseEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageStartEvent,
    TextMessageContentEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallStartEvent,
)

from koel_tui.protocol import ChatState, Message, fold
from tests.benchmarks.report import line, median

pytestmark = pytest.mark.benchmark
FEW, MANY = 10_000, 100_000
ROUNDS = 5
DELTA = "word "

STREAMS: dict[str, tuple[BaseEvent, BaseEvent, Callable[[ChatState], str]]] = {
    "text": (
        TextMessageStartEvent(message_id="m", role="assistant"),
        TextMessageContentEvent(message_id="m", delta=DELTA),
        lambda state: state.pending_messages[0].content,
    ),
    "tool arguments": (
        ToolCallStartEvent(tool_call_id="c", tool_call_name="find"),
        ToolCallArgsEvent(tool_call_id="c", delta=DELTA),
        lambda state: state.pending_tool_calls[0].arguments,
    ),
    "reasoning": (
        ReasoningMessageStartEvent(message_id="r", role="reasoning"),
        ReasoningMessageContentEvent(message_id="r", delta=DELTA),
        lambda state: state.pending_messages[0].reasoning,
    ),
}


def seconds(kind: str, count: int) -> float:
    first, more, written = STREAMS[kind]
    history = tuple(Message(str(number), "user", "hello") for number in range(100))
    state = fold(ChatState(messages=history), first)
    begin = time.process_time()
    for _ in range(count):
        state = fold(state, more)
    spent = time.process_time() - begin
    assert written(state) == DELTA * count
    return spent


@pytest.mark.parametrize("kind", STREAMS)
def test_folding_is_linear(kind: str) -> None:
    few = median([seconds(kind, FEW) for _ in range(ROUNDS)])
    many = median([seconds(kind, MANY) for _ in range(ROUNDS)])
    print()
    print(line(f"fold of {MANY} deltas, {kind}", many, few, "s", f"of {FEW}"))
    assert many / few <= 12
