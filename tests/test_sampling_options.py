"""The table of sampling options: its completeness, and round trips of formatted values."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol.turn_settings import RANGES, Sampling
from koel_tui.sampling_options import (
    COMMON_OPTIONS,
    LOGIT_BIAS,
    OPTIONS,
    format_logit_bias,
    parse_logit_bias,
)
from koel_tui.typed_values import format_number, parse_number

NUMBERS = {name: allowed for name, allowed in RANGES.items() if not allowed.whole}


def test_every_field_of_sampling_is_in_the_table() -> None:
    assert {*OPTIONS} == {*RANGES} == {each.name for each in fields(Sampling)} - {LOGIT_BIAS}
    assert [option.name for option in COMMON_OPTIONS] == [
        "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed",
    ]  # fmt: skip


def test_every_default_is_allowed_and_read_again() -> None:
    for name, option in OPTIONS.items():
        if option.default is not None:
            assert option.default in RANGES[name]
            assert option.parse(format_number(option.default)) == option.default


@pytest.mark.parametrize("name", RANGES)
def test_both_ends_of_a_range_are_read_and_values_out_of_range_are_refused(name: str) -> None:
    allowed = RANGES[name]
    assert OPTIONS[name].parse(format_number(allowed.end)) == allowed.end
    if not allowed.open_start:
        assert OPTIONS[name].parse(format_number(allowed.start)) == allowed.start
    beyond = [format_number(allowed.end + 1), format_number(allowed.start - 1)]
    beyond += ["nan", "inf", "-inf", "", "x", "1_0", "²", "٣", "1e999", "9" * 5000, "0x1", "1 2"]
    beyond += ["1.5"] if allowed.whole else []
    beyond += [format_number(allowed.start)] if allowed.open_start else []
    for text in beyond:
        with pytest.raises(ValueError) as refused:
            OPTIONS[name].parse(text)
        assert str(refused.value) == str(allowed)


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), True, "1", None, 0.5])
def test_a_value_of_any_size_and_type_is_checked(value: object) -> None:
    assert value not in RANGES["top_k"]
    with pytest.raises(ValueError, match="top_k must be a whole number from 0 to 2147483647"):
        Sampling(top_k=value)  # type: ignore[arg-type]  # invalid on purpose


@given(st.sampled_from(sorted(NUMBERS)), st.data())
def test_a_number_is_read_as_it_is_written(name: str, data: st.DataObject) -> None:
    allowed = NUMBERS[name]
    value = data.draw(
        st.floats(allowed.start, allowed.end, exclude_min=allowed.open_start, allow_nan=False)
    )
    assert parse_number(format_number(value), allowed) == value
    assert parse_number(format_number(value).replace(".", ","), allowed) == value


@given(st.dictionaries(st.integers(0, 2**31 - 1), st.floats(-100, 100), min_size=1))
def test_biases_are_read_as_they_are_written(biases: dict[int, float]) -> None:
    assert parse_logit_bias(format_logit_bias(biases)) == biases


@pytest.mark.parametrize(
    "text", ["5", "5:", ":5", "x:1", "-1:5", "5:101", "5:-101", "5:nan", "5:1,", "5:1, 5:2",
             "2147483648:1", "1.5:1", f"{'9' * 5000}:1", "5:1;6:1"],
)  # fmt: skip
def test_biases_that_are_not_allowed_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"id:bias.* from -100 to 100"):
        parse_logit_bias(text)
