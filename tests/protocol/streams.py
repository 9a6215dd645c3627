"""Event streams for tests, and helpers that collect their events."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from koel_tui.protocol import Event, ProtocolError, UnknownEvent, parse_event


class Source:
    """A stream of `events` that records its close, and may raise at its end."""

    def __init__(self, events: Iterable[Event], failure: Exception | None = None) -> None:
        self._events = iter(events)
        self._failure = failure
        self.closed = False

    def __aiter__(self) -> "Source":
        return self

    async def __anext__(self) -> Event:
        for event in self._events:
            return event
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


async def read(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


def event(kind: str, **fields: Any) -> Event:
    parsed = parse_event({"type": kind, **fields})
    assert not isinstance(parsed, ProtocolError), parsed.message
    return parsed


def kinds(events: Iterable[Event]) -> list[str]:
    return [each.type if isinstance(each, UnknownEvent) else each.type.value for each in events]
