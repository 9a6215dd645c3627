"""The fold of runs and their steps: start, phase and end."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ag_ui.core import (
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    StepFinishedEvent,
    StepStartedEvent,
)

from koel_tui.protocol.events.event_types import run_error
from koel_tui.protocol.fold.helpers import JSON_ERRORS, event_time, with_malformed_event
from koel_tui.protocol.messages import extract_encrypted_reasoning, from_ag_ui
from koel_tui.protocol.run_end import end_run
from koel_tui.protocol.state import ChatState, Message, RunPhase

FINISH_REASON = "finishReason"
"""Key in the `result` of RUN_FINISHED for the reason why the model stopped; see `Message`."""


def start_run(event: RunStartedEvent, state: ChatState) -> ChatState:
    """Reset the data of the last run and add the new messages of the input."""
    messages, echo = state.messages, state.reasoning_echo
    if event.input is not None:
        known_ids = {message.id for message in messages}
        try:
            input_messages = from_ag_ui(event.input.messages)
        except JSON_ERRORS as error:
            return with_malformed_event(state, event, error)
        messages += tuple(message for message in input_messages if message.id not in known_ids)
        echo = {**extract_encrypted_reasoning(event.input.messages), **echo}
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


def finish_run(event: RunFinishedEvent, state: ChatState) -> ChatState:
    """End the run with its outcome, and store in its answer why the model stopped."""
    cancelled = event.outcome is not None and event.outcome.type == "cancelled"
    phase = RunPhase.CANCELLED if cancelled else RunPhase.IDLE
    ended = end_run(state, phase, event_time(event))
    reason = finish_reason(event)
    return ended if reason is None else _with_reason(ended, reason, state.messages)


def finish_reason(event: RunFinishedEvent) -> str | None:
    """Return why the model stopped: `finishReason` in the event's `result`, None if not a text."""
    reason = event.result.get(FINISH_REASON) if isinstance(event.result, Mapping) else None
    return reason if isinstance(reason, str) else None


def fail_run(event: RunErrorEvent, state: ChatState) -> ChatState:
    """End the run with its error."""
    ended = end_run(state, RunPhase.ERROR, event_time(event))
    error = run_error(event)
    return ended if ended.error == error else replace(ended, error=error)


def start_step(event: StepStartedEvent, state: ChatState) -> ChatState:
    """Set the phase to a running step."""
    return _in_phase(state, RunPhase.STEP_RUNNING)


def finish_step(event: StepFinishedEvent, state: ChatState) -> ChatState:
    """Set the phase to a run without a running step."""
    return _in_phase(state, RunPhase.RUNNING)


def _with_reason(state: ChatState, reason: str, before: Sequence[Message]) -> ChatState:
    """Return `state` with `reason` in the answer to the last user message.

    An interrupted answer that was in the thread `before` the run ended, and received no more text,
    is complete if the model ended it in this run.
    """
    for index in reversed(range(len(state.messages))):
        message = state.messages[index]
        if message.role == "user":
            return state
        if message.role == "assistant":
            continued = index < len(before) and before[index] is message
            interrupted = message.interrupted and not continued
            changed = replace(message, finish_reason=reason, interrupted=interrupted)
            if changed == message:
                return state
            messages = (*state.messages[:index], changed, *state.messages[index + 1 :])
            return replace(state, messages=messages)
    return state


def _in_phase(state: ChatState, phase: RunPhase) -> ChatState:
    return state if state.phase == phase else replace(state, phase=phase)
