"""Incoming events: AG-UI's models, and events of unknown types."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ag_ui import core
from ag_ui.core import BaseEvent, EventType, RunErrorEvent
from pydantic import ValidationError

from koel_tui.protocol.errors import (
    AgentError,
    BusinessError,
    KoelError,
    ProtocolError,
    TransportError,
)
from koel_tui.text import repair


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event of a type that this version does not know, stored verbatim in `raw`.

    `type` is empty if `raw`, decoded JSON, has none.
    """

    type: str
    raw: object


Event = BaseEvent | UnknownEvent
"""Any event that an agent may send."""

_DETAILS = "koel"
_AGENT_CODES = ("refused", "tool_failed", "internal")


def _model_name(kind: EventType) -> str:
    return "".join(word.capitalize() for word in kind.value.split("_")) + "Event"


_MODELS: Mapping[str, type[BaseEvent]] = {
    kind.value: getattr(core, _model_name(kind)) for kind in EventType
}


def parse_event(data: object) -> Event | ProtocolError:
    """Return the event that `data`, decoded JSON, represents; never raises.

    An unknown or missing type gives an `UnknownEvent`, a known type with invalid fields a
    `ProtocolError`, which is returned, not raised. Broken surrogates are repaired first, because
    pydantic rejects them.
    """
    kind = data.get("type") if isinstance(data, dict) else None
    if not isinstance(kind, str):
        return UnknownEvent("", data)
    model = _MODELS.get(kind)
    if model is None:
        return UnknownEvent(kind, data)
    try:
        return model.model_validate(_repair(data))
    except (ValidationError, RecursionError) as error:
        return ProtocolError(
            f"The agent sent an invalid {kind} event: {_reason(error)}. "
            "Try again, or report it to the agent's developer.",
            event_type=kind,
            cause=error,
        )


def error_event(error: KoelError) -> RunErrorEvent:
    """Return `error` as the RUN_ERROR that ends a run.

    Its `code` is family and code, joined by a dot; folding the event restores an equal error.
    """
    return RunErrorEvent(
        message=repair(error.message),
        code=f"{error.family}.{error.code}",
        metadata={_DETAILS: dict(error.details)},
    )


def run_error(event: RunErrorEvent) -> KoelError:
    """Return the error of a RUN_ERROR event.

    Codes written by `error_event` restore the original error; any other code is the agent's own and
    gives an `AgentError` that contains it.
    """
    family, _, code = (event.code or "").partition(".")
    make = _FAMILIES.get(family)
    details = (event.metadata or {}).get(_DETAILS)
    if make is not None and code and isinstance(details, dict):
        return make(event.message, code, details)
    known_code = event.code if event.code in _AGENT_CODES else "unknown"
    return AgentError(event.message, known_code, agent_code=event.code)


_FAMILIES: Mapping[str, Callable[[str, str, dict[str, Any]], KoelError]] = {
    "transport": lambda message, code, known: TransportError(
        message, code, status=known.get("status")
    ),
    "protocol": lambda message, code, known: ProtocolError(
        message, code, event_type=known.get("event_type")
    ),
    "agent": lambda message, code, known: AgentError(
        message, code, agent_code=known.get("agent_code")
    ),
    "business": lambda message, code, known: BusinessError(message, code, details=known),
}


def _repair(value: Any) -> Any:
    if isinstance(value, str):
        return repair(value)
    if isinstance(value, dict):
        return {_repair(key): _repair(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_repair(item) for item in value]
    return value


def _reason(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
