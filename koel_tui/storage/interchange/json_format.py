"""Import and export of JSON: koel-chat's thread files, and Koel's, which are only the state."""

from dataclasses import replace
from typing import Any

from koel_tui.protocol import ChatState, ProtocolError, decode_state
from koel_tui.protocol.codec.state_codec import dumps
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.portable_thread import Thread, check_json, thread_from_state
from koel_tui.storage.migration import SCHEMA
from koel_tui.storage.thread_head import FORMAT
from koel_tui.storage.thread_record import encode_chat_state, parse_record

_KOEL_ROLES = frozenset(("user", "assistant", "system", "tool"))


def is_native(wire: object) -> bool:
    """Return whether parsed JSON is a koel-chat thread."""
    return isinstance(wire, dict) and wire.get("format") == FORMAT


def is_koel(wire: object) -> bool:
    """Return whether parsed JSON is a Koel thread."""
    return (
        isinstance(wire, dict) and "format" not in wire and isinstance(wire.get("messages"), list)
    )


def to_native(thread: Thread) -> str:
    """Return the thread as the JSON of a koel-chat file. Raises `StorageError`."""
    # In schema 1, which version 0.1 imports too; a copy for others needs no head for lists.
    known = {"format": FORMAT, "schema": 1, "gen": 0, "id": thread.id, "meta": dict(thread.meta)}
    state = encode_chat_state(thread.id, thread.state)
    return f'{dumps(known)[:-1]},"state":{state}}}\n'


def to_koel(thread: Thread) -> str:
    """Return the thread as Koel's JSON: the six keys of its state. Raises `StorageError`.

    Messages with a role that Koel does not know are left out, because Koel would reject the whole
    thread.
    """
    known = tuple(message for message in thread.state.messages if message.role in _KOEL_ROLES)
    return encode_chat_state(thread.id, replace(thread.state, messages=known)) + "\n"


def from_native(wire: Any) -> Thread:
    """Return the thread in parsed koel-chat JSON. Raises `NotAThreadError`."""
    record = parse_record(wire)
    if record.header.schema > SCHEMA:
        raise NotAThreadError(f"it was saved by a newer koel-chat (schema {record.header.schema})")
    check_json(dict(record.header.meta))
    return Thread(record.header.id, _state(record.state), record.header.meta)


def from_koel(wire: Any) -> Thread:
    """Return the thread in parsed Koel JSON. Raises `NotAThreadError`."""
    return thread_from_state("", _state(wire))


def _state(wire: Any) -> ChatState:
    check_json(wire)
    try:
        return decode_state(wire)
    except ProtocolError as error:
        raise NotAThreadError(error.message) from error
