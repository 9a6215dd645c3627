"""The fold: how each event carries a state on. Pure; what changes nothing returns its argument."""

from dataclasses import replace
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

from koel_tui.protocol import fold_messages, fold_state, fold_text, fold_tools
from koel_tui.protocol.ending import end_run
from koel_tui.protocol.events import Event, run_error
from koel_tui.protocol.fold_basics import NOT_PLAIN, event_time, malformed
from koel_tui.protocol.messages import echo_of, from_ag_ui
from koel_tui.protocol.state import ChatState, RunPhase


def fold(state: ChatState, event: Event) -> ChatState:
    """Return `state` carried on by `event`; the identical object when nothing changes.

    Never raises. A message that an event completes takes its time from the event, which is why
    the fold needs no clock.
    """
    return _fold(event, state)


@singledispatch
def _fold(event: object, state: ChatState) -> ChatState:
    return state


@_fold.register
def _run_started(event: RunStartedEvent, state: ChatState) -> ChatState:
    messages, echo = state.messages, state.reasoning_echo
    if event.input is not None:
        known = {message.id for message in messages}
        try:
            given = from_ag_ui(event.input.messages)
        except NOT_PLAIN as error:
            return malformed(state, event, error)
        messages += tuple(message for message in given if message.id not in known)
        echo = {**echo_of(event.input.messages), **echo}
    started = replace(
        state,
        messages=messages,
        reasoning_echo=echo,
        open_messages=(),
        pending_tool_calls=(),
        error=None,
        phase=RunPhase.RUNNING,
    )
    return state if started == state else started


@_fold.register
def _run_finished(event: RunFinishedEvent, state: ChatState) -> ChatState:
    cancelled = event.outcome is not None and event.outcome.type == "cancelled"
    return end_run(state, RunPhase.CANCELLED if cancelled else RunPhase.IDLE, event_time(event))


@_fold.register
def _run_error(event: RunErrorEvent, state: ChatState) -> ChatState:
    ended = end_run(state, RunPhase.ERROR, event_time(event))
    error = run_error(event)
    return ended if ended.error == error else replace(ended, error=error)


@_fold.register
def _step_started(event: StepStartedEvent, state: ChatState) -> ChatState:
    return _in_phase(state, RunPhase.STEP_RUNNING)


@_fold.register
def _step_finished(event: StepFinishedEvent, state: ChatState) -> ChatState:
    return _in_phase(state, RunPhase.RUNNING)


def _in_phase(state: ChatState, phase: RunPhase) -> ChatState:
    return state if state.phase == phase else replace(state, phase=phase)


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
