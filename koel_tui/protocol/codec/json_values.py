"""Plain values: independent copies of values that JSON can represent."""

import json
from typing import Any


def plain(value: object) -> Any:
    """Return a deep copy of `value` made of JSON values only.

    Raises TypeError, ValueError or RecursionError if JSON cannot represent it: an object, NaN, a
    cycle, or nesting too deep.
    """
    return json.loads(json.dumps(value, allow_nan=False))


def is_same_json(one: object, other: object) -> bool:
    """Return whether two plain values are the same JSON; in Python, 1 and True are equal."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
