"""How a thread wants to be answered, as it is saved and as it is sent."""

import math
from typing import Any

import pytest

from koel_tui.session import ThreadSettings

FULL = ThreadSettings(
    system="Be brief.",
    sampling={"temperature": 0.5, "top_k": 40},
    max_output_tokens=100,
    thinking=False,
    model="tiny.gguf",
    lora="a.gguf",
)


def test_what_is_set_is_saved_and_comes_back() -> None:
    assert ThreadSettings.of_meta({**FULL.meta, "model": "the one that answered"}) == FULL
    assert FULL.meta["wanted_model"] == "tiny.gguf" and "model" not in FULL.meta


def test_what_is_not_set_is_removed_from_what_is_saved_and_not_sent() -> None:
    empty = ThreadSettings()
    assert set(empty.meta.values()) == {None}
    assert set(empty.meta) == set(FULL.meta)
    assert empty.forward == {}
    assert ThreadSettings.of_meta({}) == empty


def test_what_is_set_is_sent_with_each_run() -> None:
    assert FULL.forward == {
        "system": "Be brief.",
        "sampling": {"temperature": 0.5, "top_k": 40},
        "max_output_tokens": 100,
        "thinking": False,
        "model": "tiny.gguf",
        "lora": "a.gguf",
    }


@pytest.mark.parametrize(
    "meta",
    [
        {"system": 1},
        {"sampling": ["temperature"]},
        {"sampling": {"temperature": "hot", "unknown": 1.0}},
        {"sampling": {"temperature": math.nan, "min_p": math.inf, "top_p": True}},
        {"sampling": {"seed": 1.5, "top_k": 2**32}},
        {"max_output_tokens": True},
        {"thinking": 1},
        {"wanted_model": b"", "lora": []},
    ],
)
def test_what_was_saved_wrong_is_left_out(meta: dict[str, Any]) -> None:
    assert ThreadSettings.of_meta(meta) == ThreadSettings()
