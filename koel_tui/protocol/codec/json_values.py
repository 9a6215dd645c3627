"""Plain values: what JSON can hold, owned by nobody else."""

import json
from typing import Any


def plain(value: object) -> Any:
    """Return a deep copy of `value` made of JSON values only.

    Raises TypeError, ValueError or RecursionError when JSON cannot hold it: an object, NaN, a
    loop, or nesting too deep.
    """
    return json.loads(json.dumps(value, allow_nan=False))


def is_same(one: object, other: object) -> bool:
    """Tell whether two plain values are the same JSON; to Python, 1 and true would be equal."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
