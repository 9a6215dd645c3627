"""Expansion of chunks, the short form of messages and calls, to START, CONTENT or ARGS, and END."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from ag_ui.core import (
    ActivityDeltaEvent,
    ActivitySnapshotEvent,
    BaseEvent,
    RawEvent,
    ReasoningEncryptedValueEvent,
    ReasoningMessageChunkEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    TextMessageChunkEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallChunkEvent,
    ToolCallEndEvent,
    ToolCallStartEvent,
)

from koel_tui.protocol.errors import ProtocolError
from koel_tui.protocol.events.event_types import Event
from koel_tui.protocol.events.streams import closing

_Chunk = TextMessageChunkEvent | ToolCallChunkEvent | ReasoningMessageChunkEvent
_PASS_THROUGH = (RawEvent, ActivitySnapshotEvent, ActivityDeltaEvent, ReasoningEncryptedValueEvent)
_SHARED_FIELDS = ("timestamp", "raw_event", "metadata", "subagent_run_id")


@dataclass(frozen=True, slots=True)
class _Family:
    """The events of one kind of chunk; `id_field` is the name of the id in all of them."""

    id_field: str
    start: Callable[..., BaseEvent]
    content: Callable[..., BaseEvent]
    end: Callable[..., BaseEvent]


_TEXT = _Family("message_id", TextMessageStartEvent, TextMessageContentEvent, TextMessageEndEvent)
_CALL = _Family("tool_call_id", ToolCallStartEvent, ToolCallArgsEvent, ToolCallEndEvent)
_REASONING = _Family(
    "message_id",
    ReasoningMessageStartEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
)


@dataclass(frozen=True, slots=True)
class _Open:
    family: _Family
    id: str
    subagent_run_id: str | None


class ChunkExpander:
    """Expands the chunks of one stream event by event, as AG-UI 1.0 specifies.

    If `finish` is not called, no END is added, as required for a cancelled run.
    """

    def __init__(self) -> None:
        self._open: _Open | None = None

    def feed(self, event: Event) -> tuple[Event, ...]:
        """Return the events that `event` expands to, in order.

        An empty id counts as absent, because agents that stream calls send it that way. Raises
        `ProtocolError` if a first chunk lacks its id or its name; then nothing has changed.
        """
        if isinstance(event, _Chunk):
            return self._expand(event)
        if isinstance(event, _PASS_THROUGH):
            return (event,)
        return (*self._close(event), event)

    def finish(self) -> tuple[Event, ...]:
        """Return the END of what is still open at the end of the stream."""
        return self._close(None)

    def _expand(self, chunk: _Chunk) -> tuple[Event, ...]:
        family = _family(chunk)
        chunk_id: str | None = getattr(chunk, family.id_field) or None
        events: tuple[Event, ...] = ()
        current = self._open
        if current is None or current.family is not family or chunk_id not in (None, current.id):
            opened = _open_family(family, chunk, chunk_id)
            events = (*self._close(chunk), _start(family, chunk, opened.id))
            self._open = current = opened
        if chunk.delta is not None:
            ids = {family.id_field: current.id, **_shared_fields(chunk)}
            events = (*events, family.content(delta=chunk.delta, **ids))
        return events

    def _close(self, by: Event | None) -> tuple[Event, ...]:
        if self._open is None:
            return ()
        ended, self._open = self._open, None
        fields = {
            ended.family.id_field: ended.id,
            "subagent_run_id": ended.subagent_run_id,
            "timestamp": by.timestamp if isinstance(by, BaseEvent) else None,
        }
        return (ended.family.end(**fields),)


async def expand_chunks(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """Yield `events` with each chunk expanded; close them when the consumer stops.

    Raises `ProtocolError` if a first chunk lacks its id or its name.
    """
    expander = ChunkExpander()
    async with closing(events):
        async for event in events:
            for expanded in expander.feed(event):
                yield expanded
        for expanded in expander.finish():
            yield expanded


def _family(chunk: _Chunk) -> _Family:
    match chunk:
        case TextMessageChunkEvent():
            return _TEXT
        case ToolCallChunkEvent():
            return _CALL
        case ReasoningMessageChunkEvent():
            return _REASONING


def _open_family(family: _Family, chunk: _Chunk, chunk_id: str | None) -> _Open:
    missing = family.id_field.replace("_", " ") if chunk_id is None else None
    if isinstance(chunk, ToolCallChunkEvent) and not chunk.tool_call_name:
        missing = missing or "tool call name"
    if chunk_id is None or missing is not None:
        kind = chunk.type.value
        raise ProtocolError(
            f"The agent sent a first {kind} event without a {missing}. "
            "Try again, or report it to the agent's developer.",
            event_type=kind,
        )
    return _Open(family, chunk_id, chunk.subagent_run_id)


def _start(family: _Family, chunk: _Chunk, opened_id: str) -> Event:
    fields: dict[str, Any] = {family.id_field: opened_id, **_shared_fields(chunk)}
    match chunk:
        case TextMessageChunkEvent():
            fields.update(role=chunk.role or "assistant", name=chunk.name)
        case ToolCallChunkEvent():
            fields.update(
                tool_call_name=chunk.tool_call_name, parent_message_id=chunk.parent_message_id
            )
        case ReasoningMessageChunkEvent():
            fields.update(role="reasoning")
    return family.start(**fields)


def _shared_fields(chunk: _Chunk) -> dict[str, Any]:
    return {name: getattr(chunk, name) for name in _SHARED_FIELDS}
