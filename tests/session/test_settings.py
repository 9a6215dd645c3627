"""The settings of a thread: saved, restored, and merged over the settings of the program."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import Sampling, TurnSettings
from koel_tui.protocol.turn_settings import RANGES, Range
from koel_tui.session import ThreadSettings
from tests.protocol.setting_strategies import numbers

FULL = ThreadSettings(
    system="Be brief.",
    sampling={"temperature": 0.5, "top_k": 40, "logit_bias": {198: -100.0}},
    max_output_tokens=100,
    thinking=False,
    model="tiny.gguf",
    lora="a.gguf",
    chat_template="gemma",
    stop=("END",),
)


def test_thread_settings_are_saved_and_restored() -> None:
    assert ThreadSettings.of_meta({**FULL.meta, "model": "the one that answered"}) == FULL
    assert FULL.meta["wanted_model"] == "tiny.gguf" and "model" not in FULL.meta


def test_settings_without_a_value_are_removed_from_the_saved_metadata() -> None:
    empty = ThreadSettings()
    assert set(empty.meta.values()) == {None}
    assert set(empty.meta) == set(FULL.meta)
    assert ThreadSettings.of_meta({}) == empty
    assert empty.turn_settings(DEFAULTS) == DEFAULTS
    assert empty.turn_settings(TurnSettings()) == TurnSettings()


OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    **{name: numbers(allowed) for name, allowed in RANGES.items()},
    "logit_bias": st.dictionaries(
        st.integers(0, 2**31 - 1), numbers(Range(-100, 100)), min_size=1, max_size=3
    ),
}
DEFAULTS = TurnSettings(
    system="Be kind.",
    sampling=Sampling(temperature=0.3, seed=7),
    max_output_tokens=9,
    stop=("x",),
    chat_template="chatml",
)


@given(st.fixed_dictionaries({}, optional=OPTIONS))
def test_every_sampling_option_survives_saving_and_replaces_the_default(
    options: dict[str, Any],
) -> None:
    settings = ThreadSettings(sampling=options)
    saved = json.loads(json.dumps(settings.meta))
    read = ThreadSettings.of_meta(saved)
    assert read == settings
    merged = read.turn_settings(DEFAULTS)
    defaults = DEFAULTS.sampling
    assert merged.sampling == (defaults.with_values(options) if defaults else None)


def test_the_settings_of_a_thread_replace_the_defaults_one_by_one() -> None:
    assert FULL.turn_settings(DEFAULTS) == TurnSettings(
        system="Be brief.",
        sampling=Sampling(temperature=0.5, seed=7, logit_bias={198: -100.0}),
        max_output_tokens=100,
        thinking=False,
        stop=("END",),
        chat_template="gemma",
    )
    assert ThreadSettings(thinking=50).turn_settings(DEFAULTS).thinking == 50


def test_a_value_that_is_not_allowed_is_refused_with_the_range() -> None:
    with pytest.raises(ValueError, match="temperature must be a number from 0 to"):
        ThreadSettings(sampling={"temperature": -1}).turn_settings(DEFAULTS)


@pytest.mark.parametrize(
    "meta",
    [
        {"system": 1},
        {"sampling": ["temperature"]},
        {"sampling": {"temperature": "hot", "unknown": 1.0}},
        {"sampling": {"temperature": math.nan, "min_p": math.inf, "top_p": True}},
        {"sampling": {"seed": 1.5, "top_k": 2**32}},
        {"max_output_tokens": True},
        {"thinking": "yes"},
        {"thinking": -1},
        {"max_output_tokens": 0},
        {"sampling": {"temperature": -1, "repeat_penalty": 0, "mirostat": 3}},
        {"sampling": {"logit_bias": {"x": 1}}},
        {"sampling": {"logit_bias": {"1": 101}}},
        {"sampling": {"logit_bias": [1]}},
        {"chat_template": "smoke signals"},
        {"chat_template": 5},
        {"stop": "END"},
        {"stop": ["", 5]},
        {"wanted_model": b"", "lora": []},
    ],
)
def test_unusable_saved_settings_have_no_effect_and_are_saved_again(meta: dict[str, Any]) -> None:
    read = ThreadSettings.of_meta(meta)
    assert read == ThreadSettings(unusable=meta)
    assert read.turn_settings(DEFAULTS) == DEFAULTS
    assert {name: each for name, each in read.meta.items() if each is not None} == meta


def test_an_unusable_saved_setting_is_kept_until_it_is_set() -> None:
    saved = {"sampling": {"temperature": "hot", "top_k": -1}, "stop": "END"}
    read = ThreadSettings.of_meta(saved)
    changed = replace(read, sampling={"top_k": 5}, lora="a.gguf")
    assert changed.meta["sampling"] == {"temperature": "hot", "top_k": 5}
    assert (changed.meta["stop"], changed.meta["lora"]) == ("END", "a.gguf")
    assert replace(read, stop=("END",)).meta["stop"] == ["END"]


def test_the_names_of_unusable_saved_settings_are_listed() -> None:
    sampling = {"temperature": "hot", "min_p": 0.1, "made_up": 1, "seed": None}
    saved = {"sampling": sampling, "wanted_model": 7, "stop": ["END", 5], "thinking": True}
    read = ThreadSettings.of_meta({**saved, "title": 5, "model": 5, "lora": None})
    assert read.unusable_names == ("temperature", "made_up", "model", "stop")
    assert (read.sampling, read.thinking, read.stop) == ({"min_p": 0.1}, True, None)
    assert read.meta["sampling"] == {"temperature": "hot", "min_p": 0.1, "made_up": 1}
    assert ThreadSettings.of_meta({"sampling": [1]}).unusable_names == ("sampling",)
    assert FULL.unusable_names == ()
