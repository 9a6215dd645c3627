"""The state of one thread: frozen values that only the fold and the ends of a run carry on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from koel_tui.protocol.errors import KoelError
from koel_tui.protocol.rope import GrowingText, Rope

LENGTH = "length"
"""The `finish_reason` of an answer that was cut at the limit of output tokens or of the window."""


class RunPhase(StrEnum):
    """Where a thread stands, in Koel's words; a step is one AG-UI tells of, within a run."""

    IDLE = "idle"
    RUNNING = "running"
    STEP_RUNNING = "stepRunning"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def is_running(self) -> bool:
        """Whether a run is in flight in this phase."""
        return self in (RunPhase.RUNNING, RunPhase.STEP_RUNNING)


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool by the model; `arguments` is JSON text, perhaps not complete yet.

    `parent_message_id` is the id of the message that makes the call, `extra` keeps the JSON keys
    this version does not know.
    """

    id: str
    name: str
    arguments: GrowingText = GrowingText()  # noqa: RUF009 - a descriptor, not a default value
    parent_message_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def append(self, delta: str) -> "ToolCall":
        """Return the call with `delta` at the end of its arguments."""
        written = vars(ToolCall)["arguments"].rope(self)
        return replace(self, arguments=written.append(delta))


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a thread.

    `role` is user, assistant, system, tool or activity; the `content` of an activity is JSON text.
    `timestamp` is UTC, and None until the message is complete. `tool_call_id` is the call that a
    tool message answers. `interrupted` says that the run ended before the message did,
    `finish_reason` why the model stopped writing (end, length, stopped, tool_calls, or what a
    server said), where that is known. `attachments` are AG-UI's parts of content that are no
    text, `usage` is what `koel_tui.session.keep_usage` keeps, both JSON objects. `reasoning_ids`
    name what `reasoning` was streamed as, `extra` keeps the JSON keys this version does not know.
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
        """Whether the message says nothing at all."""
        return not (self.content or self.reasoning or self.tool_calls or self.attachments)

    @property
    def is_thinking_only(self) -> bool:
        """Whether this is an answer in which the model thought and then said nothing."""
        said = self.content.strip() or self.tool_calls or self.attachments
        return self.role == "assistant" and bool(self.reasoning) and not said

    @property
    def is_continuable(self) -> bool:
        """Whether this is an incomplete answer, which an agent may continue at a thread's end."""
        if self.role != "assistant":
            return False
        return self.interrupted or self.finish_reason == LENGTH or self.is_thinking_only


@dataclass(frozen=True, slots=True)
class Thought:
    """One stretch of reasoning, still being written while `is_open`."""

    id: str
    text: Rope = field(default_factory=Rope, compare=False)
    is_open: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class OpenMessage:
    """A message still being written.

    `key` is the id by which events address it, None while only reasoning has come. `head` is the
    message without what is being written, `text` and `thoughts` are that. `has_text` says whether
    its text was started; a message that only makes calls has none.
    """

    key: str | None
    head: Message
    text: Rope = field(default_factory=Rope)
    thoughts: tuple[Thought, ...] = ()
    has_text: bool = True

    @classmethod
    def of(cls, message: Message, key: str | None = None) -> Self:
        """Return `message` open for more text, addressed by `key` (its own id unless given)."""
        head = replace(message, content="")
        return cls(message.id if key is None else key, head, Rope.of(message.content))

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text written so far; empty when there is none."""
        return self.text.pieces

    @property
    def message(self) -> Message:
        """The message with all that was written so far."""
        if not self.thoughts:
            return replace(self.head, content=str(self.text))
        said = (self.head.reasoning, *(str(thought.text) for thought in self.thoughts))
        return replace(
            self.head,
            content=str(self.text),
            reasoning="\n\n".join(filter(None, said)),
            reasoning_ids=(*self.head.reasoning_ids, *(thought.id for thought in self.thoughts)),
        )

    def append(self, delta: str) -> "OpenMessage":
        """Return the message with `delta` at the end of its text."""
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
    """Where a thread goes on in several ways, its branches, in the order they came.

    `after` is the id of the message before them, None at the start of the thread. The branch that
    is `shown` is among the messages of the thread itself, and empty here. `extra` keeps the JSON
    keys this version does not know.
    """

    after: str | None
    branches: tuple[tuple[Message, ...], ...]
    shown: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatState:
    """Everything known of a thread: what was said, what is being said, and how the run stands.

    Treat the mappings as frozen too. `messages` are complete, `open_messages` are being written. A
    call is pending until its result is there. `state` is the JSON object shared with the agent,
    `reasoning_echo` what it wants to get back, encrypted, by the ids it gave. `error` is never
    stored; `extra` keeps the JSON keys this version does not know. A fork within a branch that is
    not shown is among the `forks` like any other.
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
        """The messages being written, oldest first; costs a copy of their text."""
        return tuple(pending.message for pending in self.open_messages)

    @property
    def pending_message(self) -> Message | None:
        """The message being written, the oldest where there are several, or None."""
        return self.open_messages[0].message if self.open_messages else None
