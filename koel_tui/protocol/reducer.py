"""The fold: how each event carries a state on. Pure; what changes nothing returns its argument."""

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

from koel_tui.protocol import fold_messages, fold_runs, fold_state, fold_text, fold_tools
from koel_tui.protocol.events import Event
from koel_tui.protocol.state import ChatState


def fold(state: ChatState, event: Event) -> ChatState:
    """Return `state` carried on by `event`; the identical object when nothing changes.

    Never raises. A message that an event completes takes its time from the event, which is why
    the fold needs no clock.
    """
    return _fold(event, state)


@singledispatch
def _fold(event: object, state: ChatState) -> ChatState:
    return state


_fold.register(RunStartedEvent, fold_runs.run_started)
_fold.register(RunFinishedEvent, fold_runs.run_finished)
_fold.register(RunErrorEvent, fold_runs.run_failed)
_fold.register(StepStartedEvent, fold_runs.step_started)
_fold.register(StepFinishedEvent, fold_runs.step_finished)
_fold.register(TextMessageStartEvent, fold_text.text_started)
_fold.register(TextMessageContentEvent, fold_text.text_continued)
_fold.register(TextMessageEndEvent, fold_text.text_ended)
_fold.register(ReasoningMessageStartEvent, fold_text.reasoning_started)
_fold.register(ReasoningMessageContentEvent, fold_text.reasoning_continued)
_fold.register(ReasoningMessageEndEvent, fold_text.reasoning_ended)
_fold.register(ReasoningEncryptedValueEvent, fold_text.reasoning_encrypted)
_fold.register(ToolCallStartEvent, fold_tools.call_started)
_fold.register(ToolCallArgsEvent, fold_tools.call_continued)
_fold.register(ToolCallEndEvent, fold_tools.call_ended)
_fold.register(ToolCallResultEvent, fold_tools.call_answered)
_fold.register(StateSnapshotEvent, fold_state.state_replaced)
_fold.register(StateDeltaEvent, fold_state.state_patched)
_fold.register(MessagesSnapshotEvent, fold_messages.messages_replaced)
_fold.register(ActivitySnapshotEvent, fold_messages.activity_replaced)
_fold.register(ActivityDeltaEvent, fold_messages.activity_patched)
