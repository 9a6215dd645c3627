"""The state of one thread: frozen values, replaced only by the fold and at the end of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from koel_tui.protocol.errors import KoelError
from koel_tui.protocol.rope import GrowingText, Rope

LENGTH = "length"
"""The `finish_reason` of an answer that was cut at the output token limit or the context size."""


class RunPhase(StrEnum):
    """The phase of a thread, in Koel's terms; a step is an AG-UI step within a run."""

    IDLE = "idle"
    RUNNING = "running"
    STEP_RUNNING = "stepRunning"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def is_running(self) -> bool:
        """True if a run is active in this phase."""
        return self in (RunPhase.RUNNING, RunPhase.STEP_RUNNING)


@dataclass(frozen=True)
class ToolCall:
    """A tool call by the model; `arguments` is JSON text, possibly incomplete.

    `parent_message_id` is the id of the message that makes the call, `extra` contains the JSON keys
    that this version does not know.
    """

    id: str
    name: str
    arguments: GrowingText = GrowingText()  # noqa: RUF009 - a descriptor, not a default value
    parent_message_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def append(self, delta: str) -> "ToolCall":
        """Return the call with `delta` appended to its arguments."""
        written = vars(ToolCall)["arguments"].rope(self)
        return replace(self, arguments=written.append(delta))


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a thread.

    `role` is user, assistant, system, tool or activity; the `content` of an activity is JSON text.
    `timestamp` is UTC, and None until the message is complete. `tool_call_id` is the call that a
    tool message answers. `interrupted` means that the run ended before the message was complete.
    `finish_reason` is why the model stopped (end, length, stopped, tool_calls, or a server's
    reason), if known. `attachments` are AG-UI content parts other than text, `usage` is set by
    `koel_tui.session.keep_usage`; both are JSON objects. `reasoning_ids` are the ids under which
    `reasoning` was streamed, `extra` contains the JSON keys that this version does not know.
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
    reasoning_ids: tuple[str, ...] = ()
    finish_reason: str | None = None

    @property
    def is_empty(self) -> bool:
        """True if the message has no content at all."""
        return not (self.content or self.reasoning or self.tool_calls or self.attachments)

    @property
    def is_thinking_only(self) -> bool:
        """True if this is an answer with thinking but without text, calls or attachments."""
        content = self.content.strip() or self.tool_calls or self.attachments
        return self.role == "assistant" and bool(self.reasoning) and not content

    @property
    def is_continuable(self) -> bool:
        """True if this is an incomplete answer, which an agent may continue at a thread's end."""
        if self.role != "assistant":
            return False
        return self.interrupted or self.finish_reason == LENGTH or self.is_thinking_only


@dataclass(frozen=True, slots=True)
class Thought:
    """One part of the reasoning, still being streamed while `is_open`."""

    id: str
    text: Rope = field(default_factory=Rope, compare=False)
    is_open: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class OpenMessage:
    """A message that is still being streamed.

    `key` is the id that events use for it, None while it has only reasoning. `head` is the message
    without the streamed parts, which are `text` and `thoughts`. `has_text` is whether its text was
    started; a message that only makes calls has none.
    """

    key: str | None
    head: Message
    text: Rope = field(default_factory=Rope)
    thoughts: tuple[Thought, ...] = ()
    has_text: bool = True

    @classmethod
    def of(cls, message: Message, key: str | None = None) -> Self:
        """Return `message` as an open message; events use the id `key`, by default its own id."""
        head = replace(message, content="")
        return cls(message.id if key is None else key, head, Rope.from_text(message.content))

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text so far; empty if there is none."""
        return self.text.pieces

    @property
    def message(self) -> Message:
        """The message with everything streamed so far."""
        if not self.thoughts:
            return replace(self.head, content=str(self.text))
        parts = (self.head.reasoning, *(str(thought.text) for thought in self.thoughts))
        return replace(
            self.head,
            content=str(self.text),
            reasoning="\n\n".join(filter(None, parts)),
            reasoning_ids=(*self.head.reasoning_ids, *(thought.id for thought in self.thoughts)),
        )

    def append(self, delta: str) -> "OpenMessage":
        """Return the message with `delta` appended to its text."""
        return replace(self, text=self.text.append(delta))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OpenMessage):
            return NotImplemented
        return self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self.key)

    def _value(self) -> tuple[object, ...]:
        return (self.key, self.message, self.thoughts, self.has_text)


@dataclass(frozen=True, slots=True)
class Fork:
    """A point where a thread has several branches, in order of their creation.

    `after` is the id of the message before them, None at the start of the thread. The messages of
    the branch `shown` are in the thread itself, so that branch is empty here. `extra` contains the
    JSON keys that this version does not know.
    """

    after: str | None
    branches: tuple[tuple[Message, ...], ...]
    shown: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatState:
    """The complete state of a thread: its messages, open messages, shared state and run phase.

    Treat the mappings as frozen too. `messages` are complete, `open_messages` are being streamed. A
    call is pending until its result arrives. `state` is the JSON object shared with the agent,
    `reasoning_echo` the encrypted reasoning to return to the agent, by the agent's ids. `error` is
    never stored; `extra` contains the JSON keys that this version does not know. `forks` includes
    the forks within branches that are not shown.
    """

    messages: tuple[Message, ...] = ()
    open_messages: tuple[OpenMessage, ...] = ()
    pending_tool_calls: tuple[ToolCall, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    reasoning_echo: Mapping[str, bytes] = field(default_factory=dict)
    error: KoelError | None = None
    phase: RunPhase = RunPhase.IDLE
    forks: tuple[Fork, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pending_messages(self) -> tuple[Message, ...]:
        """The open messages, oldest first; each access copies their text."""
        return tuple(pending.message for pending in self.open_messages)

    @property
    def pending_message(self) -> Message | None:
        """The oldest open message, or None."""
        return self.open_messages[0].message if self.open_messages else None
