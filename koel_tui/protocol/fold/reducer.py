"""The fold, which applies each event to a state. Pure."""

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

    Never raises: an event that cannot be used becomes the state's error. A message has the time of
    the event that completes it, so the fold needs no clock.
    """
    return _fold(event, state)  # `singledispatch` chooses by the type of the first argument


@singledispatch
def _fold(event: object, state: ChatState) -> ChatState:
    """Apply an event without an entry below, which changes nothing."""
    return state


_fold.register(RunStartedEvent, runs.start_run)
_fold.register(RunFinishedEvent, runs.finish_run)
_fold.register(RunErrorEvent, runs.fail_run)
_fold.register(StepStartedEvent, runs.start_step)
_fold.register(StepFinishedEvent, runs.finish_step)
_fold.register(TextMessageStartEvent, text.start_text)
_fold.register(TextMessageContentEvent, text.append_text)
_fold.register(TextMessageEndEvent, text.end_text)
_fold.register(ReasoningMessageStartEvent, text.start_reasoning)
_fold.register(ReasoningMessageContentEvent, text.append_reasoning)
_fold.register(ReasoningMessageEndEvent, text.end_reasoning)
_fold.register(ReasoningEncryptedValueEvent, text.store_encrypted_reasoning)
_fold.register(ToolCallStartEvent, tool_calls.start_call)
_fold.register(ToolCallArgsEvent, tool_calls.append_arguments)
_fold.register(ToolCallEndEvent, tool_calls.end_call)
_fold.register(ToolCallResultEvent, tool_calls.add_result)
_fold.register(StateSnapshotEvent, shared_state.replace_state)
_fold.register(StateDeltaEvent, shared_state.patch_state)
_fold.register(MessagesSnapshotEvent, messages.replace_messages)
_fold.register(ActivitySnapshotEvent, messages.replace_activity)
_fold.register(ActivityDeltaEvent, messages.patch_activity)
