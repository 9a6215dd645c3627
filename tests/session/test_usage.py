"""The usage of an answer is saved with its message."""

import json

from ag_ui.core import CustomEvent

from koel_tui.agents import METRICS
from koel_tui.protocol import ChatState, Message, decode_state, encode_state
from koel_tui.session import keep_usage

ASKED = Message("q", "user", "Why?")
ANSWERED = ChatState(messages=(ASKED, Message("a", "assistant", "So.")))
MEASURED = {"model": "M", "prompt_tokens": 12, "decode_tokens_per_s": 81.23456, "load_s": 2.0}


def metrics(value: object, name: str = METRICS) -> CustomEvent:
    return CustomEvent(name=name, value=value)


def test_the_figures_of_an_answer_are_saved_with_it() -> None:
    state = keep_usage(ANSWERED, metrics(MEASURED))
    kept = {"model": "M", "prompt_tokens": 12, "decode_tokens_per_s": 81.235}
    assert state.messages[-1].usage == kept
    assert decode_state(json.loads(encode_state(state))) == state


def test_the_same_state_is_returned_without_figures_or_an_answer() -> None:
    asked = ChatState(messages=(ASKED,))
    assert keep_usage(asked, metrics(MEASURED)) is asked
    assert keep_usage(ChatState(), metrics(MEASURED)) == ChatState()
    for event in (metrics("many"), metrics(MEASURED, "another")):
        assert keep_usage(ANSWERED, event) is ANSWERED


def test_figures_that_are_not_valid_json_are_not_kept() -> None:
    odd = {"model": object(), "prompt_tokens": 12, "decode_tokens_per_s": float("nan")}
    state = keep_usage(ANSWERED, metrics(odd))
    assert state.messages[-1].usage == {"prompt_tokens": 12}
