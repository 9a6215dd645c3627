"""The usage figures of an answer, stored with its message."""

import math
from collections.abc import Mapping
from dataclasses import replace

from ag_ui.core import CustomEvent

from koel_tui.agents import METRICS
from koel_tui.protocol import ChatState, Event

SAVED_METRICS = (
    "model",
    "context_tokens",
    "prompt_tokens",
    "reused_tokens",
    "output_tokens",
    "trimmed_turns",
    "decode_tokens_per_s",
    "time_to_first_token_s",
)
"""The keys of a METRICS event that are stored, because they are shown later."""
_DIGITS = 3


def keep_usage(state: ChatState, event: Event) -> ChatState:
    """Return the state with the values of a METRICS event in the `usage` of the last answer.

    A reducer for `KoelClient`; returns the identical state for any other event.
    """
    if not (isinstance(event, CustomEvent) and event.name == METRICS):
        return state
    if not isinstance(event.value, Mapping):
        return state
    usage = {
        key: _round(event.value[key]) for key in SAVED_METRICS if _is_plain(event.value.get(key))
    }
    if state.open_messages:  # an answer with thinking only is open until the run ends
        *others, opened = state.open_messages
        opened = replace(opened, head=replace(opened.head, usage=usage))
        return replace(state, open_messages=(*others, opened))
    answer = state.messages[-1] if state.messages else None
    if answer is None or answer.role != "assistant":
        return state
    return replace(state, messages=(*state.messages[:-1], replace(answer, usage=usage)))


def model_name(event: Event) -> str:
    """Return the name of the model in a METRICS event, '' if there is none."""
    metrics = event.value if isinstance(event, CustomEvent) and event.name == METRICS else None
    model = metrics.get("model") if isinstance(metrics, Mapping) else None
    return model if isinstance(model, str) else ""


def _round(value: object) -> object:
    return round(value, _DIGITS) if isinstance(value, float) else value


def _is_plain(value: object) -> bool:
    """Return whether a value can be saved, because another agent may send anything."""
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, str | int)
