"""The check of the event order, which ends an invalid stream with an error."""

from collections.abc import AsyncGenerator, AsyncIterator
from enum import Enum, auto

from ag_ui.core import (
    BaseEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallStartEvent,
)

from koel_tui.protocol.errors import ProtocolError
from koel_tui.protocol.events.event_types import Event, error_event
from koel_tui.protocol.events.streams import closing


class _Stage(Enum):
    BEFORE = auto()
    RUNNING = auto()
    FINISHED = auto()
    FAILED = auto()
    BROKEN = auto()
    """The stream broke a rule; further events are ignored."""


class Verifier:
    """Checks the event order of one stream by the rules of AG-UI 1.0, event by event.

    Do not call `finish` for a cancelled run: no event may be added to it.
    """

    def __init__(self) -> None:
        self._stage = _Stage.BEFORE
        self._open: set[tuple[str, str]] = set()

    @property
    def broken(self) -> bool:
        """True if the stream broke a rule; then no more events are returned."""
        return self._stage is _Stage.BROKEN

    def feed(self, event: Event) -> tuple[Event, ...]:
        """Return `event`, or a RUN_ERROR in its place if it is not allowed now.

        The RUN_ERROR is the last event: later calls return nothing.
        """
        if self.broken:
            return ()
        violation = self._violation(event)
        if violation is None:
            self._advance(event)
            return (event,)
        self._stage = _Stage.BROKEN
        kind = event.type.value if isinstance(event, BaseEvent) else event.type
        return (
            error_event(
                ProtocolError(
                    f"The agent broke the order of events: {kind or 'an event'} {violation}. "
                    "The text before it is kept. Try again, or report it to the agent's developer.",
                    event_type=kind,
                )
            ),
        )

    def finish(self) -> tuple[Event, ...]:
        """Return a RUN_ERROR if the stream ended before its run did, else nothing."""
        if self._stage not in (_Stage.BEFORE, _Stage.RUNNING):
            return ()
        self._stage = _Stage.BROKEN
        return (
            error_event(
                ProtocolError(
                    "The agent stopped before its answer was complete. "
                    "The partial answer is kept. Send again to continue.",
                    "closed",
                )
            ),
        )

    def _violation(self, event: Event) -> str | None:
        """Return why `event` is not allowed now, None if it is allowed."""
        match self._stage, event:
            case _Stage.RUNNING, RunStartedEvent():
                return "came while a run was active"
            case _, RunStartedEvent():
                return None
            case _Stage.FAILED, _:
                return "came after RUN_ERROR"
            case _, RunErrorEvent():
                return None
            case _Stage.BEFORE, _:
                return "came before RUN_STARTED"
            case _Stage.FINISHED, _:
                return "came after RUN_FINISHED"
        if isinstance(event, RunFinishedEvent):
            return self._open_at_end()
        if (opens := _opens(event)) is not None:
            return (
                f"opened {_format_item(opens)}, which was open already"
                if opens in self._open
                else None
            )
        needed = _continues(event) or _closes(event)
        if needed is not None and needed not in self._open:
            return f"belongs to {_format_item(needed)}, which is not open"
        return None

    def _open_at_end(self) -> str | None:
        if not self._open:
            return None
        return f"came while {_format_item(min(self._open))} was open"

    def _advance(self, event: Event) -> None:
        match event:
            case RunStartedEvent():
                self._stage = _Stage.RUNNING
                self._open.clear()
            case RunFinishedEvent():
                self._stage = _Stage.FINISHED
            case RunErrorEvent():
                self._stage = _Stage.FAILED
        if (opened := _opens(event)) is not None:
            self._open.add(opened)
        if (closed := _closes(event)) is not None:
            self._open.discard(closed)


async def verify(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """Yield `events` while their order is valid; close them when the consumer stops.

    The first invalid event is replaced by a RUN_ERROR, which is the last event. A stream that ends
    before its run ends with a RUN_ERROR too.
    """
    verifier = Verifier()
    async with closing(events):
        async for event in events:
            for checked in verifier.feed(event):
                yield checked
            if verifier.broken:
                return
        for ending in verifier.finish():
            yield ending


def _opens(event: Event) -> tuple[str, str] | None:
    match event:
        case TextMessageStartEvent():
            return "message", event.message_id
        case ToolCallStartEvent():
            return "tool call", event.tool_call_id
        case ReasoningMessageStartEvent():
            return "reasoning message", event.message_id
        case StepStartedEvent():
            return "step", event.step_name
    return None


def _continues(event: Event) -> tuple[str, str] | None:
    match event:
        case TextMessageContentEvent():
            return "message", event.message_id
        case ToolCallArgsEvent():
            return "tool call", event.tool_call_id
        case ReasoningMessageContentEvent():
            return "reasoning message", event.message_id
    return None


def _closes(event: Event) -> tuple[str, str] | None:
    match event:
        case TextMessageEndEvent():
            return "message", event.message_id
        case ToolCallEndEvent():
            return "tool call", event.tool_call_id
        case ReasoningMessageEndEvent():
            return "reasoning message", event.message_id
        case StepFinishedEvent():
            return "step", event.step_name
    return None


def _format_item(opened: tuple[str, str]) -> str:
    kind, name = opened
    return f"the {kind} {name!r}"
