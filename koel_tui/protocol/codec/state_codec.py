"""The JSON of a state: Koel's six keys first, then the keys of this program.

`encode_state` returns ASCII text, so its bytes are the same in every ASCII-compatible encoding.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from koel_tui.protocol.errors import ProtocolError
from koel_tui.protocol.state import ChatState, Fork, Message, OpenMessage, RunPhase, ToolCall

_KOEL_MESSAGE_KEYS = ("id", "role", "content", "timestamp", "toolCallId", "name")
_OUR_MESSAGE_KEYS = (
    "reasoning",
    "reasoningIds",
    "toolCalls",
    "interrupted",
    "attachments",
    "usage",
    "finishReason",
)
_MESSAGE_KEYS = frozenset((*_KOEL_MESSAGE_KEYS, *_OUR_MESSAGE_KEYS))
_COMMON_KEYS = frozenset((*_KOEL_MESSAGE_KEYS, "usage", "finishReason"))
_CALL_KEYS = frozenset(("id", "name", "arguments", "parentMessageId"))
_FORK_KEYS = frozenset(("after", "shown", "branches"))
_KOEL_KEYS = ("messages", "pendingMessage", "pendingToolCalls", "state", "reasoningEcho", "phase")
# An error is never stored, so `error` must not be kept as an unknown key either.
_STATE_KEYS = frozenset((*_KOEL_KEYS, "pendingMessages", "forks", "error"))

# The generated `__init__` of a frozen class takes three times as long as these.
(
    _set_id,
    _set_role,
    _set_content,
    _set_timestamp,
    _set_tool_call_id,
    _set_name,
    _set_reasoning,
    _set_tool_calls,
    _set_interrupted,
    _set_attachments,
    _set_usage,
    _set_extra,
    _set_reasoning_ids,
    _set_finish_reason,
) = (vars(Message)[each.name].__set__ for each in fields(Message))

STATE_START = '{"messages":['
"""The beginning of the JSON of every state, before its messages."""


def encode_state(state: ChatState) -> str:
    """Return `state` as compact JSON in ASCII, without its error.

    With several open messages, `pendingMessage` is the first and `pendingMessages` (else absent)
    the others. Raises TypeError, ValueError or RecursionError if JSON cannot represent the state.
    """
    return "".join(_pieces(state))


def encode_state_bytes(state: ChatState) -> bytearray:
    """Return the bytes of `encode_state`, with the same errors.

    They need about half of the memory, because no message exists twice as text.
    """
    data = bytearray()
    for piece in _pieces(state):
        data += piece.encode("ascii")
    return data


def encode_rest(state: ChatState) -> str:
    """Return the part of `encode_state` after the messages, which begins with a bracket."""
    pending = [encode_message(message) for message in state.pending_messages]
    rest: dict[str, Any] = {
        "pendingToolCalls": [_call(call) for call in state.pending_tool_calls],
        "state": state.state,
        "reasoningEcho": {
            key: base64.b64encode(value).decode("ascii")
            for key, value in state.reasoning_echo.items()
        },
        "phase": state.phase.value,
    }
    others = f',"pendingMessages":[{",".join(pending[1:])}]' if len(pending) > 1 else ""
    unknown = _unknown(state.extra, _STATE_KEYS)
    forks = f',"forks":[{",".join(map(_fork, state.forks))}]' if state.forks else ""
    return (
        f'],"pendingMessage":{pending[0] if pending else "null"},{dumps(rest)[1:-1]}{others}'
        f"{forks}{_additional_fields(unknown)}}}"
    )


def _pieces(state: ChatState) -> Iterator[str]:
    """Yield the pieces of the JSON of a state."""
    yield STATE_START
    for number, message in enumerate(state.messages):
        if number:
            yield ","
        yield encode_message(message)
    yield encode_rest(state)


def decode_state(wire: object) -> ChatState:
    """Return the state that `wire`, decoded JSON, represents, exactly as it was saved.

    Absent keys mean defaults, unknown keys are kept. Raises `ProtocolError` for anything else that
    is invalid. Call `settle` on a loaded state before it is shown.
    """
    source = _object(wire, "the state")
    pending = [source["pendingMessage"]] if source.get("pendingMessage") is not None else []
    pending += _list(source, "pendingMessages")
    phase = source.get("phase") or RunPhase.IDLE.value
    if phase not in tuple(RunPhase):
        raise _decode_error(f"the phase {phase!r} is not known")
    return ChatState(
        messages=tuple(_read_message(item) for item in _list(source, "messages")),
        open_messages=tuple(OpenMessage.of(_read_message(item)) for item in pending),
        pending_tool_calls=tuple(_read_call(item) for item in _list(source, "pendingToolCalls")),
        state=_value(source, "state", dict, {}),
        reasoning_echo={
            key: _read_bytes(value)
            for key, value in _value(source, "reasoningEcho", dict, {}).items()
        },
        phase=RunPhase(phase),
        forks=_read_forks(source),
        extra=_unknown(source, _STATE_KEYS),
    )


def dumps(value: object) -> str:
    """Return `value` as compact ASCII JSON; a broken surrogate is escaped, not an error.

    Raises TypeError, ValueError or RecursionError if JSON cannot represent it, for instance NaN.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def encode_time(time: datetime) -> str:
    """Return a UTC time in Koel's format: milliseconds, microseconds only if needed."""
    utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    micro = utc.microsecond
    fraction = "%06d" % micro if micro % 1000 else "%03d" % (micro // 1000)  # noqa: UP031 - faster, see below
    # Twice as fast as isoformat, and faster than an f-string: a thread may have 10,000 times.
    moment = (utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, fraction)
    return "%04d-%02d-%02dT%02d:%02d:%02d.%sZ" % moment  # noqa: UP031 - faster


def decode_time(text: str) -> datetime:
    """Return the UTC time of an ISO 8601 text; a text without a time zone is UTC.

    Raises ValueError or OverflowError for an invalid time.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is UTC:
        return time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def encode_message(message: Message) -> str:
    """Return the JSON of a message."""
    # Formatted by hand: in a long thread, building a dict per message takes longer than the rest
    # of the save, and one `dumps` call for all messages would hold the GIL too long.
    time = "null" if message.timestamp is None else f'"{encode_time(message.timestamp)}"'
    called = "null" if message.tool_call_id is None else _quoted(message.tool_call_id)
    name = "null" if message.name is None else _quoted(message.name)
    return (
        f'{{"id":{_quoted(message.id)},"role":{_quoted(message.role)},'
        f'"content":{_quoted(message.content)},"timestamp":{time},'
        f'"toolCallId":{called},"name":{name}{_additional_fields(_extension_fields(message))}}}'
    )


def _fork(fork: Fork) -> str:
    branches = (f"[{','.join(map(encode_message, branch))}]" for branch in fork.branches)
    after = "null" if fork.after is None else _quoted(fork.after)
    more = _additional_fields(_unknown(fork.extra, _FORK_KEYS))
    return f'{{"after":{after},"shown":{fork.shown},"branches":[{",".join(branches)}]{more}}}'


def _additional_fields(fields: Mapping[str, Any]) -> str:
    """Return additional fields of an object, each with a comma before it."""
    return f",{dumps(fields)[1:-1]}" if fields else ""


def _extension_fields(message: Message) -> dict[str, Any]:
    """Return the fields of a message beyond Koel's keys, none for most messages."""
    wire: dict[str, Any] = {}
    if message.reasoning:
        wire["reasoning"] = message.reasoning
    if message.reasoning_ids:
        wire["reasoningIds"] = list(message.reasoning_ids)
    if message.tool_calls:
        wire["toolCalls"] = [_call(call) for call in message.tool_calls]
    if message.interrupted:
        wire["interrupted"] = True
    if message.attachments:
        wire["attachments"] = list(message.attachments)
    if message.usage is not None:
        wire["usage"] = message.usage
    if message.finish_reason is not None:
        wire["finishReason"] = message.finish_reason
    if message.extra:
        wire.update(_unknown(message.extra, _MESSAGE_KEYS))
    return wire


def _call(call: ToolCall) -> dict[str, Any]:
    wire = {
        "id": call.id,
        "name": call.name,
        "arguments": call.arguments,
        "parentMessageId": call.parent_message_id,
    }
    return {**wire, **_unknown(call.extra, _CALL_KEYS)}


def _read_message(wire: object) -> Message:
    source = _object(wire, "a message")
    get = source.get
    message_id, role, content, time = get("id"), get("role"), get("content"), get("timestamp")
    call, name, usage, finish = get("toolCallId"), get("name"), get("usage"), get("finishReason")
    # Written out for speed: most messages have only these keys, and a thread may have 10,000.
    if not (
        type(message_id) is str
        and type(role) is str
        and type(content) is str
        and (time is None or type(time) is str)
        and (call is None or type(call) is str)
        and (name is None or type(name) is str)
        and (usage is None or type(usage) is dict)
        and (finish is None or type(finish) is str)
        and _COMMON_KEYS.issuperset(source)
    ):
        return _read_rare_message(source)
    message = object.__new__(Message)
    _set_id(message, message_id)
    _set_role(message, role)
    _set_content(message, content)
    _set_timestamp(message, None if time is None else _read_time(time))
    _set_tool_call_id(message, call)
    _set_name(message, name)
    _set_reasoning(message, "")
    _set_tool_calls(message, ())
    _set_interrupted(message, False)
    _set_attachments(message, ())
    _set_usage(message, usage)
    _set_extra(message, {})
    _set_reasoning_ids(message, ())
    _set_finish_reason(message, finish)
    return message


def _read_rare_message(source: Mapping[str, Any]) -> Message:
    """Return a message that may have any key. Raises `ProtocolError`."""
    attachments = _list(source, "attachments")
    return Message(
        id=_text(source, "id"),
        role=_text(source, "role"),
        content=_value(source, "content", str, ""),
        timestamp=_read_time(_value(source, "timestamp", str, None)),
        tool_call_id=_value(source, "toolCallId", str, None),
        name=_value(source, "name", str, None),
        reasoning=_value(source, "reasoning", str, ""),
        reasoning_ids=_texts(source, "reasoningIds"),
        tool_calls=tuple(_read_call(item) for item in _list(source, "toolCalls")),
        interrupted=_value(source, "interrupted", bool, False),
        attachments=tuple(_object(item, "an attachment") for item in attachments),
        usage=_value(source, "usage", dict, None),
        extra=_unknown(source, _MESSAGE_KEYS),
        finish_reason=_value(source, "finishReason", str, None),
    )


def _read_forks(source: Mapping[str, Any]) -> tuple[Fork, ...]:
    forks = tuple(_read_fork(item) for item in _list(source, "forks"))
    if len({fork.after for fork in forks}) < len(forks):
        raise _decode_error("two forks follow the same message")
    return forks


def _read_fork(wire: object) -> Fork:
    source = _object(wire, "a fork")
    shown = _value(source, "shown", int, 0)
    branches = []
    for branch in _list(source, "branches"):
        if not isinstance(branch, list):
            raise _decode_error("a branch is not a list")
        branches.append(tuple(_read_message(item) for item in branch))
    if isinstance(shown, bool) or not 0 <= shown < len(branches) or branches[shown]:
        raise _decode_error("the branch shown is not among those of its fork")
    after = _value(source, "after", str, None)
    return Fork(after, tuple(branches), shown, _unknown(source, _FORK_KEYS))


def _read_call(wire: object) -> ToolCall:
    source = _object(wire, "a tool call")
    return ToolCall(
        id=_text(source, "id"),
        name=_text(source, "name"),
        arguments=_value(source, "arguments", str, ""),
        parent_message_id=_value(source, "parentMessageId", str, None),
        extra=_unknown(source, _CALL_KEYS),
    )


def _read_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return decode_time(text)
    except (ValueError, OverflowError) as error:
        raise _decode_error(f"{text[:40]!r} is not a time") from error


def _read_bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise _decode_error("an entry of reasoningEcho is not a text")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise _decode_error("an entry of reasoningEcho is not base64") from error


def _unknown(source: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key not in known}


def _object(wire: object, what: str) -> dict[str, Any]:
    if not isinstance(wire, dict):
        raise _decode_error(f"{what} is not an object")
    return wire


def _list(source: Mapping[str, Any], key: str) -> list[Any]:
    found: list[Any] = _value(source, key, list, [])
    return found


def _texts(source: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = tuple(_list(source, key))
    if not all(isinstance(value, str) for value in values):
        raise _decode_error(f"an entry of {key} is not a text")
    return values


def _text(source: Mapping[str, Any], key: str) -> str:
    value = source.get(key)
    if not isinstance(value, str):
        raise _decode_error(f"{key} of a message or tool call is missing or not a text")
    return value


def _value(source: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = source.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise _decode_error(f"{key} is not of type {kind.__name__}")
    return value


def _decode_error(reason: str) -> ProtocolError:
    return ProtocolError(f"This is not a saved conversation: {reason}.")
