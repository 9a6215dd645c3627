"""The fold of runs and their steps: begun, in a phase, and over."""

from dataclasses import replace

from ag_ui.core import (
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    StepFinishedEvent,
    StepStartedEvent,
)

from koel_tui.protocol.ending import end_run
from koel_tui.protocol.events import run_error
from koel_tui.protocol.fold_basics import NOT_PLAIN, event_time, malformed
from koel_tui.protocol.messages import echo_of, from_ag_ui
from koel_tui.protocol.state import ChatState, RunPhase


def run_started(event: RunStartedEvent, state: ChatState) -> ChatState:
    """Clear what the last run left and add the messages of the input that are new."""
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


def run_finished(event: RunFinishedEvent, state: ChatState) -> ChatState:
    """End the run as its outcome says."""
    cancelled = event.outcome is not None and event.outcome.type == "cancelled"
    return end_run(state, RunPhase.CANCELLED if cancelled else RunPhase.IDLE, event_time(event))


def run_failed(event: RunErrorEvent, state: ChatState) -> ChatState:
    """End the run with its error."""
    ended = end_run(state, RunPhase.ERROR, event_time(event))
    error = run_error(event)
    return ended if ended.error == error else replace(ended, error=error)


def step_started(event: StepStartedEvent, state: ChatState) -> ChatState:
    """Say that a step is under way."""
    return _in_phase(state, RunPhase.STEP_RUNNING)


def step_finished(event: StepFinishedEvent, state: ChatState) -> ChatState:
    """Say that no step is."""
    return _in_phase(state, RunPhase.RUNNING)


def _in_phase(state: ChatState, phase: RunPhase) -> ChatState:
    return state if state.phase == phase else replace(state, phase=phase)
