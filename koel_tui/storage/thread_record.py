"""The serialized form of a thread that all storages share: one JSON text."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self, TypeGuard, TypeVar

from koel_tui.protocol import ChatState, ProtocolError, decode_state, encode_state, settle
from koel_tui.protocol.codec.json_values import plain
from koel_tui.protocol.codec.state_codec import dumps, encode_time
from koel_tui.storage.errors import FutureSchemaError, NotAThreadError, StorageError
from koel_tui.storage.migration import MIGRATIONS, SCHEMA, Migrations, migrate
from koel_tui.storage.session_storage import Summary
from koel_tui.storage.thread_head import (
    FORMAT,
    Head,
    Outline,
    encode_head,
    is_count,
    parse_time,
    summary_fields,
)

T = TypeVar("T")
_KEYS = ("format", "schema", "gen", "id", "summary", "meta", "state")


@dataclass(frozen=True, slots=True)
class Header:
    """All fields of a saved thread except its state.

    `gen` counts the writes, `schema` is the schema it was read in, `meta` is the thread's metadata,
    `extra` keeps the keys that this version does not know.
    """

    id: str
    gen: int = 0
    schema: int = SCHEMA
    meta: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def for_save(self, at: datetime) -> "Header":
        """Return the header of the next write, of a state saved `at`."""
        stamp = encode_time(at)
        created = self.meta.get("created", stamp)
        # The clock may have been set back; `updated` must not precede `created`.
        updated = max(stamp, created) if _has_same_format(stamp, created) else stamp
        meta = {**self.meta, "created": created, "updated": updated}
        return replace(self.next_generation(), meta=meta)

    def with_meta(self, fields: Mapping[str, Any], at: datetime) -> "Header":
        """Return the header of the next write, with meta `fields` set, or removed if None.

        Raises `StorageError` for a value that is not JSON.
        """
        stamp = encode_time(at)
        try:
            values = plain(dict(fields))
        except (TypeError, ValueError, RecursionError) as error:
            raise StorageError(
                f"The settings of thread {self.id!r} have a value that cannot be saved ({error}). "
                "Nothing was changed; use text, numbers and lists."
            ) from error
        meta = {"created": stamp, "updated": stamp, **self.meta, **values}
        meta = {key: value for key, value in meta.items() if value is not None}
        return replace(self.next_generation(), meta=meta)

    def next_generation(self) -> "Header":
        """Return the header of the next write. Raises `FutureSchemaError`."""
        if self.schema > SCHEMA:
            raise FutureSchemaError(self.id, self.schema)
        return replace(self, gen=self.gen + 1, schema=SCHEMA)


@dataclass(frozen=True, slots=True)
class Record:
    """A saved thread: its header and its state as JSON values, not decoded yet."""

    header: Header
    state: Any

    @classmethod
    def empty(cls, thread_id: str) -> Self:
        """Return the record of a thread that was never saved."""
        return cls(Header(thread_id), {})

    def chat_state(self) -> ChatState:
        """Return the decoded state, ready to be shown.

        Raises `NotAThreadError` for an invalid state, `FutureSchemaError` if a newer version saved
        it.
        """
        try:
            state = decode_state(self.state)
        except ProtocolError as error:
            if self.header.schema > SCHEMA:
                raise FutureSchemaError(self.header.id, self.header.schema) from error
            raise NotAThreadError(error.message) from error
        return settle(state, parse_time(self.header.meta.get("updated")))

    def outline(self) -> Outline:
        """Return what a list shows of the state."""
        return Outline.of_json(self.state)

    def summary(self, fallback_time: datetime) -> Summary:
        """Return the thread's list entry; `fallback_time` replaces missing times."""
        header = self.header
        fields = summary_fields(header.meta, self.outline())
        return Head(header.id, header.gen, fields).summary(fallback_time)


def encode_record(header: Header, outline: Outline, state: str) -> str:
    """Return the JSON of a thread as one line of ASCII; `state` is the JSON of its state."""
    before, after = record_frame(header, outline, len(state))
    return f"{before}{state}{after}"


def record_frame(header: Header, outline: Outline, size: int) -> tuple[str, str]:
    """Return the text before and after a state of `size` bytes in the JSON of a thread."""
    known = {"format": FORMAT, "schema": header.schema, "gen": header.gen, "id": header.id}
    meta = f',"meta":{dumps(header.meta)},"state":'
    after = f",{dumps(header.extra)[1:]}" if header.extra else "}"
    summary = summary_fields(header.meta, outline)
    head = encode_head(known, summary, len(meta) + size + len(after))
    return f"{head}{meta}", after


def encode_chat_state(thread_id: str, state: ChatState) -> str:
    """Return the JSON of `state`. Raises `StorageError` for a value that JSON cannot hold."""
    return encode_state_with(encode_state, thread_id, state)


def encode_state_with(encode: Callable[[ChatState], T], thread_id: str, state: ChatState) -> T:
    """Return the encoded state. Raises `StorageError` for a value that JSON cannot hold."""
    try:
        return encode(state)
    except (TypeError, ValueError, RecursionError) as error:
        raise StorageError(
            f"Thread {thread_id!r} has a value that cannot be saved ({error}). "
            "Report this; the messages can still be copied."
        ) from error


def decode_record(text: str | bytes, migrations: Migrations = MIGRATIONS) -> Record:
    """Return the thread in `text`; older schemas are migrated, newer ones returned as they are.

    Raises `NotAThreadError`. The state is decoded lazily.
    """
    return parse_record(parse_json(text), migrations)


def parse_json(text: str | bytes, *, strict: bool = True) -> Any:
    """Parse JSON; NaN and infinite numbers become None, because version 0.1 wrote them.

    If not `strict`, strings may contain control characters. Raises `NotAThreadError`.
    """
    try:
        return json.loads(text, parse_constant=_number, parse_float=_number, strict=strict)
    except RecursionError as error:
        raise NotAThreadError("it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise NotAThreadError("it is not UTF-8") from error
    except ValueError as error:
        raise NotAThreadError(f"it is not JSON: {error}") from error


def json_decoder(*, any_integers: bool = False) -> json.JSONDecoder:
    """Return a decoder of JSON that reads as `parse_json` does if it is not strict.

    With `any_integers`, which is slower, an integer with too many digits becomes None.
    """
    parse_int = _integer if any_integers else None
    return json.JSONDecoder(
        parse_constant=_number, parse_float=_number, parse_int=parse_int, strict=False
    )


def parse_record(wire: Any, migrations: Migrations = MIGRATIONS) -> Record:
    """Return the thread in parsed JSON, as `decode_record` does."""
    if not isinstance(wire, dict) or wire.get("format") != FORMAT:
        raise NotAThreadError(f"it is not in the format {FORMAT}")
    schema = wire.get("schema")
    if not is_count(schema):
        raise NotAThreadError("its schema is not a number")
    wire = migrate(wire, schema, migrations)
    gen = wire.get("gen", 0)
    if not is_count(gen):
        raise NotAThreadError("its gen is not a number")
    thread_id, meta = wire.get("id"), wire.get("meta", {})
    if not isinstance(thread_id, str) or not isinstance(meta, dict) or "state" not in wire:
        raise NotAThreadError("its id, meta or state is missing")
    extra = {key: value for key, value in wire.items() if key not in _KEYS}
    return Record(Header(thread_id, gen, schema, meta, extra), wire["state"])


def newest_first(summaries: Iterable[Summary]) -> list[Summary]:
    """Return the summaries, most recently changed first."""
    return sorted(summaries, key=lambda summary: (summary.updated, summary.id), reverse=True)


def _number(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:  # Python converts at most 4300 digits
        return None


def _has_same_format(stamp: str, other: object) -> TypeGuard[str]:
    return isinstance(other, str) and len(other) == len(stamp) and other.endswith("Z")
