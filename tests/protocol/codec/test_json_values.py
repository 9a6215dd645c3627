from typing import Any

import pytest

from koel_tui.protocol.codec.json_values import plain


def test_a_plain_value_is_a_copy() -> None:
    value = {"a": [1, None, "x"]}
    copied = plain(value)
    assert copied == value
    assert copied["a"] is not value["a"]


def _loop() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize("value", [object(), float("nan"), {"a": {1, 2}}, b"x", _loop()])
def test_values_that_are_not_valid_json_are_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        plain(value)
