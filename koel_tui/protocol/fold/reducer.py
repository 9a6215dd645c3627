"""The fold, which applies each event to a state. Pure; without a change it returns its argument."""

from functools import singledispatch

from ag_ui.core import (
    ActivityDeltaEvent,
    ActivitySnapshotEvent,
    MessagesSnapshotEvent,
    ReasoningEncryptedValueEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    StateDeltaEvent,
    StateSnapshotEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)

from koel_tui.protocol.events.event_types import Event
from koel_tui.protocol.fold import messages, runs, shared_state, text, tool_calls
from koel_tui.protocol.state import ChatState


def fold(state: ChatState, event: Event) -> ChatState:
    """Return `state` after `event`; the identical object if nothing changes.

    Never raises. A message that an event completes takes its time from the event, so the fold needs
    no clock.
    """
    return _fold(event, state)


@singledispatch
def _fold(event: object, state: ChatState) -> ChatState:
    return state


_fold.register(RunStartedEvent, runs.run_started)
_fold.register(RunFinishedEvent, runs.run_finished)
_fold.register(RunErrorEvent, runs.run_failed)
_fold.register(StepStartedEvent, runs.step_started)
_fold.register(StepFinishedEvent, runs.step_finished)
_fold.register(TextMessageStartEvent, text.text_started)
_fold.register(TextMessageContentEvent, text.text_continued)
_fold.register(TextMessageEndEvent, text.text_ended)
_fold.register(ReasoningMessageStartEvent, text.reasoning_started)
_fold.register(ReasoningMessageContentEvent, text.reasoning_continued)
_fold.register(ReasoningMessageEndEvent, text.reasoning_ended)
_fold.register(ReasoningEncryptedValueEvent, text.reasoning_encrypted)
_fold.register(ToolCallStartEvent, tool_calls.call_started)
_fold.register(ToolCallArgsEvent, tool_calls.call_continued)
_fold.register(ToolCallEndEvent, tool_calls.call_ended)
_fold.register(ToolCallResultEvent, tool_calls.call_answered)
_fold.register(StateSnapshotEvent, shared_state.state_replaced)
_fold.register(StateDeltaEvent, shared_state.state_patched)
_fold.register(MessagesSnapshotEvent, messages.messages_replaced)
_fold.register(ActivitySnapshotEvent, messages.activity_replaced)
_fold.register(ActivityDeltaEvent, messages.activity_patched)
