"""Masking of all texts in AG-UI models and in JSON. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

Mask = Callable[[str], str]
"""Returns a text with its secrets masked."""

_Model = TypeVar("_Model", bound=BaseModel)

_UNMASKED_FIELDS = frozenset(
    {
        "type",
        "role",
        "subtype",
        "op",
        "id",
        "message_id",
        "parent_message_id",
        "tool_call_id",
        "parent_tool_call_id",
        "tool_call_name",
        "thread_id",
        "run_id",
        "parent_run_id",
        "subagent_run_id",
        "entity_id",
        "interrupt_id",
        "step_name",
        "activity_type",
        "protocol_version",
        "code",
        "mime_type",
        "encrypted_value",
    }
)
"""Fields of AG-UI models that link events; masking them would break the links."""

_UNMASKED_FIELDS_OF: tuple[tuple[str, str], ...] = (
    ("FunctionCall", "name"),
    ("Tool", "name"),
    ("CustomEvent", "name"),
    ("InputContentDataSource", "value"),
    ("DataSource", "value"),
    ("BinaryInputContent", "data"),
)
"""Fields, by model, with names of tools and events or with base64 files; not masked."""


def mask_model(model: _Model, mask: Mask) -> _Model:
    """Return a model with its texts masked except its ids, the same object if none changes."""
    kind = type(model).__name__
    fields = {**vars(model), **(model.model_extra or {})}
    changed = {}
    for name, value in fields.items():
        if name in type(model).model_fields and (
            name in _UNMASKED_FIELDS or (kind, name) in _UNMASKED_FIELDS_OF
        ):
            continue
        new = mask_json(value, mask)
        if new is not value:
            changed[name] = new
    return model.model_copy(update=changed) if changed else model


def mask_json(value: Any, mask: Mask) -> Any:
    """Return a value with all its texts masked, including the keys of objects."""
    match value:
        case str():
            text = mask(value)
            return value if text == value else text
        case BaseModel():
            return mask_model(value, mask)
        case list() | tuple():
            items = [mask_json(item, mask) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else items
        case Mapping():
            return _mask_object(value, mask)
    return value


def _mask_object(value: Mapping[Any, Any], mask: Mask) -> Mapping[Any, Any]:
    masked: dict[Any, Any] = {}
    same = True
    for key, item in value.items():
        masked_key = unused = mask(key) if isinstance(key, str) else key
        number = 1
        while unused in masked:  # two keys that differ only in their secret
            number += 1
            unused = f"{masked_key} {number}"
        masked[unused] = mask_json(item, mask)
        same = same and unused == key and masked[unused] is item
    return value if same else masked
