"""Turn settings: how they are merged with those of the session, and which values are refused."""

import math
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given

from koel_tui.protocol import Sampling, TurnSettings
from koel_tui.protocol.turn_settings import RANGES
from tests.protocol.setting_strategies import turn_settings

NAMES = [each.name for each in fields(TurnSettings)]


@given(turn_settings(), turn_settings())
def test_each_field_is_the_turns_own_or_the_sessions(
    turn: TurnSettings, session: TurnSettings
) -> None:
    merged = turn.over(session)
    for name in NAMES:
        own = getattr(turn, name)
        assert getattr(merged, name) == (getattr(session, name) if own is None else own)


@given(turn_settings(), turn_settings(), turn_settings())
def test_merging_is_associative_and_settings_without_values_change_nothing(
    one: TurnSettings, two: TurnSettings, three: TurnSettings
) -> None:
    assert one.over(two).over(three) == one.over(two.over(three))
    assert one.over(TurnSettings()) == one == TurnSettings().over(one) == one.over(one)


@pytest.mark.parametrize("name", ["system", "tools", "stop", "prefill"])
def test_an_empty_value_replaces_that_of_the_session(name: str) -> None:
    filled = TurnSettings(system="s", tools=({"name": "t"},), stop=("x",), prefill="p")
    empty: Any = () if name in ("tools", "stop") else ""
    assert getattr(TurnSettings(**{name: empty}).over(filled), name) == empty


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", True, None, [1]])
@pytest.mark.parametrize("name", RANGES)
def test_a_sampling_value_of_another_type_is_refused_with_the_range(name: str, value: Any) -> None:
    if name == "seed" and value is None:
        return
    with pytest.raises(ValueError, match=rf"^{name} must be a (whole )?number .*, not "):
        Sampling(**{name: value})


@pytest.mark.parametrize("name", RANGES)
def test_values_out_of_range_are_refused_and_its_ends_are_allowed(name: str) -> None:
    allowed = RANGES[name]
    step: float = 1 if allowed.whole else 1e-3
    kind: Any = int if allowed.whole else float
    assert getattr(Sampling(**{name: kind(allowed.end)}), name) == allowed.end
    smallest: Any = 5e-324 if allowed.open_start else kind(allowed.start)
    assert getattr(Sampling(**{name: smallest}), name) == smallest
    below = 0 if allowed.open_start else kind(allowed.start) - step
    for value in (below, kind(allowed.end) + max(step, allowed.end / 1e6)):
        with pytest.raises(ValueError, match=f"{name} must be"):
            Sampling(**{name: kind(value)})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"system": 5}, "system must be a string, not 5"),
        ({"sampling": {"top_k": 1}}, "sampling must be a Sampling"),
        ({"max_output_tokens": 0}, "max_output_tokens must be a whole number from 1 to 2147483647"),
        ({"max_output_tokens": 2.0}, "max_output_tokens must be a whole number"),
        ({"thinking": "yes"}, "thinking must be a whole number from 0 to 2147483647"),
        ({"thinking": -1}, "thinking must be a whole number"),
        ({"tools": {"name": "t"}}, "tools must be a sequence of function tools"),
        ({"tools": [5]}, "an item of tools must be one of function tools"),
        ({"tool_choice": ""}, "tool_choice must be auto, required, none or the name of a tool"),
        ({"schema": []}, "schema must be a JSON schema, an object"),
        ({"stop": "END"}, "stop must be a sequence of strings"),
        ({"stop": ["a", ""]}, "stop must not contain an empty string"),
        ({"stop": [None]}, "stop must not contain None"),
        ({"chat_template": "made-up"}, "chat_template must be one of "),
        ({"prefill": b"x"}, "prefill must be a string"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_invalid_setting_is_refused_with_the_allowed_values(
    values: Mapping[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        TurnSettings(**values)


@pytest.mark.parametrize(
    "bias", [{1: 101}, {-1: 1}, {"1": 1}, {1: math.nan}, {True: 1}, {1: "x"}, [1], 5]
)
def test_a_bias_that_is_not_allowed_is_refused(bias: Any) -> None:
    with pytest.raises(ValueError, match="logit_bias"):
        Sampling(logit_bias=bias)


def test_every_sampling_number_has_a_range() -> None:
    assert {each.name for each in fields(Sampling)} == {*RANGES, "logit_bias"}


def test_a_sampling_does_not_change_with_the_mapping_it_was_made_of() -> None:
    biases = {1: 2.0}
    sampling = Sampling(logit_bias=biases)
    biases[1] = 100.0
    assert sampling.logit_bias == {1: 2.0}
    assert Sampling(logit_bias=MappingProxyType({3: 1.0})).logit_bias == {3: 1.0}
