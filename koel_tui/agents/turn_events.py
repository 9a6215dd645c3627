"""Conversion of engine deltas to AG-UI events. Pure."""

import uuid
from collections.abc import Callable, Iterator

from ag_ui.core import (
    BaseEvent,
    ReasoningEndEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    ReasoningStartEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallStartEvent,
)

from koel_tui.agents.agent import TOKENS
from koel_tui.engine import TextDelta, ThinkingDelta, ToolCallDelta


def new_id() -> str:
    """Return a new unique id."""
    return str(uuid.uuid4())


class TurnEvents:
    """The events of one answer: its thinking, text and tool calls, under one message id."""

    def __init__(
        self, message_id: str, make_id: Callable[[], str] = new_id, *, open_thought: str = ""
    ) -> None:
        """`open_thought` is the id of the thinking that the answer continues, '' if it is new."""
        self._message_id = message_id
        self._make_id = make_id
        self._open_thought = open_thought
        self._thought = ""  # id of the open thinking, '' if there is none
        self._writing = False

    def feed(
        self, delta: TextDelta | ThinkingDelta | ToolCallDelta, tokens: int = 1
    ) -> Iterator[BaseEvent]:
        """Yield the events of a delta; the `raw_event` of text carries the number of `tokens`."""
        match delta:
            case ThinkingDelta(text=text):
                if not self._thought:
                    self._thought = self._open_thought or self._make_id()
                    self._open_thought = ""
                    yield ReasoningStartEvent(message_id=self._thought)
                    yield ReasoningMessageStartEvent(message_id=self._thought, role="reasoning")
                yield ReasoningMessageContentEvent(message_id=self._thought, delta=text)
            case TextDelta(text=text):
                self._open_thought = ""
                yield from self._end_thought()
                if not self._writing:
                    self._writing = True
                    yield TextMessageStartEvent(message_id=self._message_id, role="assistant")
                yield TextMessageContentEvent(
                    message_id=self._message_id, delta=text, raw_event={TOKENS: tokens}
                )
            case ToolCallDelta():
                yield from self._end_thought()
                yield ToolCallStartEvent(
                    tool_call_id=delta.id,
                    tool_call_name=delta.name,
                    parent_message_id=self._message_id,
                )
                yield ToolCallArgsEvent(tool_call_id=delta.id, delta=delta.arguments)
                yield ToolCallEndEvent(tool_call_id=delta.id)

    def finish(self) -> Iterator[BaseEvent]:
        """Yield the END events of everything that is open."""
        yield from self._end_thought()
        if self._writing:
            self._writing = False
            yield TextMessageEndEvent(message_id=self._message_id)

    def _end_thought(self) -> Iterator[BaseEvent]:
        if self._thought:
            ended, self._thought = self._thought, ""
            yield ReasoningMessageEndEvent(message_id=ended)
            yield ReasoningEndEvent(message_id=ended)
