"""The state of one thread: frozen values that only `fold` and `settle` carry on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from koel_tui.protocol.errors import KoelError


class RunPhase(StrEnum):
    """Where a thread stands."""

    IDLE = "idle"
    RUNNING = "running"
    STEP_RUNNING = "stepRunning"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def is_running(self) -> bool:
        """Whether a run is in flight in this phase."""
        return self in (RunPhase.RUNNING, RunPhase.STEP_RUNNING)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model; `arguments` is JSON text, perhaps not complete yet."""

    id: str
    name: str
    arguments: str = ""
    parent_message_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a thread.

    `role` is user, assistant, system, tool or activity. `timestamp` is UTC, and None until the
    message is complete. `interrupted` says that the run ended before the message did. `extra`
    keeps the JSON keys this version does not know.
    """

    id: str
    role: str
    content: str = ""
    timestamp: datetime | None = None
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    interrupted: bool = False
    attachments: tuple[Mapping[str, Any], ...] = ()
    usage: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether the message says nothing at all."""
        return not (self.content or self.reasoning or self.tool_calls or self.attachments)


@dataclass(frozen=True, slots=True, eq=False)
class OpenMessage:
    """A message still being written.

    `key` is the id by which events address it, `head` the message without its text, `pieces` the
    text so far. A piece is at least twice as long as the next one, so that there are few, and an
    append copies each character only log(n) times: n appends cost n log n, not n squared.
    """

    key: str
    head: Message
    pieces: tuple[str, ...] = ()

    @classmethod
    def of(cls, message: Message, key: str | None = None) -> Self:
        """Return `message` open for more text, addressed by `key` (its own id unless given)."""
        pieces = (message.content,) if message.content else ()
        return cls(message.id if key is None else key, replace(message, content=""), pieces)

    @property
    def message(self) -> Message:
        """The message with the text written so far."""
        return replace(self.head, content="".join(self.pieces))

    def append(self, delta: str) -> "OpenMessage":
        """Return the message with `delta` at its end."""
        pieces = self.pieces
        while pieces and len(pieces[-1]) < 2 * len(delta):
            delta = pieces[-1] + delta
            pieces = pieces[:-1]
        return OpenMessage(self.key, self.head, (*pieces, delta))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OpenMessage):
            return NotImplemented
        return self.key == other.key and self.message == other.message

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class ChatState:
    """Everything known of a thread: what was said, what is being said, and how the run stands.

    Treat the mappings as frozen too. `error` is never stored; `extra` keeps the JSON keys this
    version does not know.
    """

    messages: tuple[Message, ...] = ()
    open_messages: tuple[OpenMessage, ...] = ()
    pending_tool_calls: tuple[ToolCall, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    reasoning_echo: Mapping[str, bytes] = field(default_factory=dict)
    error: KoelError | None = None
    phase: RunPhase = RunPhase.IDLE
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pending_messages(self) -> tuple[Message, ...]:
        """The messages being written, oldest first; costs a copy of their text."""
        return tuple(pending.message for pending in self.open_messages)

    @property
    def pending_message(self) -> Message | None:
        """The message being written, the oldest where there are several, or None."""
        return self.open_messages[0].message if self.open_messages else None


def end_run(state: ChatState, phase: RunPhase, at: datetime | None = None) -> ChatState:
    """Return `state` with its run over: `phase` set and half-written messages kept.

    What was still open becomes a message marked interrupted and stamped `at` unless it has a time
    of its own; an empty one is dropped.
    """
    if not state.open_messages:
        return state if state.phase == phase else replace(state, phase=phase)
    kept = tuple(
        replace(message, interrupted=True, timestamp=message.timestamp or at)
        for message in state.pending_messages
        if not message.is_empty
    )
    return replace(state, messages=state.messages + kept, open_messages=(), phase=phase)


def settle(state: ChatState, at: datetime | None = None) -> ChatState:
    """Return a loaded `state` as it can be shown: nothing runs, half-written messages are kept."""
    return end_run(state, RunPhase.IDLE if state.phase.is_running else state.phase, at)
