"""The head of a thread's JSON: what a list shows of the thread, before everything else.

A list reads only the first kilobytes of each file. The head repeats what the rest has, so it is
used only while its size of the rest is right; otherwise the whole file is read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, datetime
from typing import Any, Self, TypeGuard

from koel_tui.first_words import first_words
from koel_tui.protocol import ChatState
from koel_tui.protocol.codec.state_codec import decode_time, dumps
from koel_tui.storage.migration import SCHEMA
from koel_tui.storage.session_storage import Summary
from koel_tui.text import cut_letters

FORMAT = "koel-chat/thread"
HEAD_BYTES = 4096
"""The number of bytes of a file that a list reads; a file with a longer head is read as a whole."""
_START = f'{{"format":"{FORMAT}","schema":{SCHEMA},'.encode("ascii")
_AFTER_HEAD = b',"meta":'
_META_BYTES = 64 * 1024  # more than almost every thread has
_TITLE_LENGTH = 60
_PREVIEW_LENGTH = 120


@dataclass(frozen=True, slots=True)
class Outline:
    """The parts of a state that a list shows: the number of messages, and excerpts of two.

    `opening` is the start of the first user message, `preview` that of the last message.
    """

    messages: int = 0
    opening: str = ""
    preview: str = ""

    @classmethod
    def of_state(cls, state: ChatState) -> Self:
        """Return the outline of a state."""
        questions = (each.content for each in state.messages if each.role == "user")
        last = state.messages[-1].content if state.messages else ""
        return cls._of(len(state.messages), next(questions, ""), last)

    @classmethod
    def of_json(cls, state: Any) -> Self:
        """Return the outline of a state as parsed JSON, which need not be valid."""
        messages = _message_list(state)
        questions = (_content(each) for each in messages if each.get("role") == "user")
        last = _content(messages[-1]) if messages else ""
        return cls._of(len(messages), next(questions, ""), last)

    @classmethod
    def _of(cls, count: int, question: str, last: str) -> Self:
        opening = _excerpt(first_words(question), _TITLE_LENGTH)
        return cls(count, opening, _excerpt(last, _PREVIEW_LENGTH))


@dataclass(frozen=True, slots=True)
class Head:
    """The id and generation of a thread, and the object of `summary_fields`, which is valid."""

    id: str
    gen: int
    fields: Mapping[str, Any]

    @property
    def outline(self) -> Outline:
        """The parts of the state that a list shows."""
        fields = self.fields
        return Outline(fields["messages"], fields["opening"], fields["preview"])

    def with_fields(self, fields: Any) -> "Head":
        """Return the head with the newer object of `summary_fields`, if that is valid."""
        return replace(self, fields=fields) if is_summary(fields) else self

    def summary(self, fallback_time: datetime) -> Summary:
        """Return the thread's list entry; `fallback_time` replaces missing times."""
        fields = self.fields
        updated = parse_time(fields.get("updated")) or fallback_time
        # Positional, because a list may have ten thousand.
        return Summary(
            self.id,
            fields.get("title") or fields["opening"],
            parse_time(fields.get("created")) or updated,
            updated,
            fields["messages"],
            fields.get("model", ""),
            fields["preview"],
        )


_META = ("title", "created", "updated", "model", "backend")


def summary_fields(meta: Mapping[str, Any], outline: Outline) -> dict[str, Any]:
    """Return the JSON object that a list needs: parts of the metadata, and the outline."""
    shown = {key: meta[key] for key in _META if isinstance(meta.get(key), str)}
    return {
        **shown,
        "messages": outline.messages,
        "opening": outline.opening,
        "preview": outline.preview,
    }


def is_summary(wire: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether parsed JSON is an object of `summary_fields`."""
    if not isinstance(wire, dict) or not is_count(wire.get("messages")):
        return False
    get = wire.get  # written out, because a list may have ten thousand
    return (
        type(get("opening")) is str
        and type(get("preview")) is str
        and type(get("title", "")) is str
        and type(get("created", "")) is str
        and type(get("updated", "")) is str
        and type(get("model", "")) is str
        and type(get("backend", "")) is str
    )


def encode_head(known: Mapping[str, Any], summary: Mapping[str, Any], rest: int) -> str:
    """Return the head of a thread's JSON without its end, for a text with `rest` bytes after it."""
    return dumps({**known, "summary": {**summary, "rest": rest}})[:-1]


def find_head(start: bytes) -> bytes | None:
    """Return the head at the start of a thread's JSON; None if there is no complete one.

    It ends where the metadata begins: no string and no object of the head contains this key.
    """
    end = start.find(_AFTER_HEAD) if start.startswith(_START) else -1
    return None if end < 0 else start[:end]


def parse_head(head: bytes, size: int) -> Head | None:
    """Return the head of a thread's JSON of `size` bytes; None if it does not match the rest."""
    try:
        wire = json.loads(f"{head.decode('ascii')}}}")
    except (ValueError, RecursionError):
        return None
    fields, thread_id, gen = wire.get("summary"), wire.get("id"), wire.get("gen")
    if not is_summary(fields) or fields.get("rest") != size - len(head):
        return None
    if not isinstance(thread_id, str) or not is_count(gen):
        return None
    return Head(thread_id, gen, fields)


def parse_meta(text: bytes, end: int) -> dict[str, Any] | None:
    """Return the metadata in a thread's JSON whose head ends at `end`; None if it is invalid.

    The state after it is not parsed.
    """
    begin = end + len(_AFTER_HEAD)
    for size in (_META_BYTES, len(text)):
        try:
            found, _ = json.JSONDecoder().raw_decode(text[begin : begin + size].decode("ascii"))
        except (ValueError, RecursionError):
            continue  # it may be longer
        return found if isinstance(found, dict) else None
    return None


def parse_time(stamp: object) -> datetime | None:
    """Return the time of a text; None if it is invalid or cannot be shown in every time zone."""
    if not isinstance(stamp, str):
        return None
    try:
        time = decode_time(stamp)
    except (ValueError, OverflowError):
        return None  # an invalid time must not hide the thread from lists
    return time if is_displayable(time) else None


def is_displayable(time: datetime) -> bool:
    """Return whether a time is valid in every time zone, which excludes the years 1 and 9999."""
    return MINYEAR < time.year < MAXYEAR


def is_count(value: object) -> TypeGuard[int]:
    """Return whether a value of parsed JSON is a natural number."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _message_list(state: Any) -> list[dict[str, Any]]:
    messages = state.get("messages") if isinstance(state, dict) else None
    return (
        [item for item in messages if isinstance(item, dict)] if isinstance(messages, list) else []
    )


def _string_value(source: Mapping[str, Any], key: str) -> str:
    value = source.get(key)
    return value if isinstance(value, str) else ""


def _content(message: Mapping[str, Any]) -> str:
    return _string_value(message, "content")


def _excerpt(text: str, limit: int) -> str:
    """Return the start of a text on one line, truncated at a word boundary if possible."""
    line = " ".join(text[: limit * 8].split())
    if len(line) <= limit:
        return line
    shortened = cut_letters(line, limit - 1)
    return (shortened.rsplit(" ", 1)[0] if " " in shortened[limit // 2 :] else shortened) + "…"
