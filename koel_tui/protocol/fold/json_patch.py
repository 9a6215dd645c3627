"""Atomic JSON patches (RFC 6902) of plain values."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from koel_tui.protocol.codec.json_values import plain


class PatchError(ValueError):
    """A patch that cannot be applied."""


def apply_patch_operations(document: object, operations: Iterable[BaseModel]) -> dict[str, Any]:
    """Return a copy of `document` with all `operations` applied; the arguments do not change.

    Raises `PatchError` if an operation fails or the result is not a JSON object.
    """
    # Lazy import: it takes a tenth of the start-up time, and most threads never need it.
    from jsonpatch import JsonPatchException, apply_patch
    from jsonpointer import JsonPointerException

    try:
        steps = plain([each.model_dump(by_alias=True) for each in operations])
        outcome = plain(apply_patch(document, steps))
    except (JsonPatchException, JsonPointerException) as error:
        raise PatchError(str(error) or type(error).__name__) from error
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise PatchError(f"the patch or its outcome is not JSON: {error}") from error
    if not isinstance(outcome, dict):
        raise PatchError("its outcome is not an object")
    return outcome
