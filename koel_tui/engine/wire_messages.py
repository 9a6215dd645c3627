"""Commands to the native side and events from it, and their form on the wire.

In the runner process each travels as a frame: 4 bytes of length, big endian, then JSON. The
in-process engine passes events by reference and commands as copies. Both sides check what they
receive, and the sender of a command what it sends.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from koel_tui.engine.errors import ERROR_TYPES, EngineError, UnsupportedError
from koel_tui.engine.types import (
    ChatMessage,
    FinishReason,
    MemoryReport,
    ModelCard,
    ModelSpec,
    SessionMetrics,
    ToolCallDelta,
)
from koel_tui.protocol.turn_settings import TurnSettings

T = TypeVar("T")
HEADER = struct.Struct(">I")
FRAME_LIMIT = 256 * 1024 * 1024
"""Longest frame in bytes; a conversation larger than this is a bug, not a chat."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load the weights and make the context; the first command, once."""

    spec: ModelSpec
    max_sessions: int | None
    parallel: int
    kind: Literal["load"] = "load"


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Make a session known; answered by `Done` or `Failed` with the same call.

    It has what belongs to the session's context; the settings of a turn are in `StartTurn`.
    """

    call: int
    session: int
    name: str = ""
    lora: Path | None = None
    kv: Path | None = None
    kind: Literal["open_session"] = "open_session"


@dataclass(frozen=True, slots=True)
class StartTurn:
    """Answer the conversation; events carry the turn until `TurnEnded` or `Failed`.

    `settings` are all the settings of the turn: those of the session are merged into them.
    """

    turn: int
    session: int
    messages: tuple[ChatMessage, ...]
    settings: TurnSettings = field(default_factory=TurnSettings)
    kind: Literal["start_turn"] = "start_turn"


@dataclass(frozen=True, slots=True)
class StopTurn:
    """End a turn after the current token; one that has ended is ignored."""

    turn: int
    kind: Literal["stop_turn"] = "stop_turn"


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Forget a session and free its slot; its turn, if any, was stopped before."""

    session: int
    kind: Literal["close_session"] = "close_session"


@dataclass(frozen=True, slots=True)
class SaveKv:
    """Write a session's KV state to a file; answered by `Done` or `Failed`.

    Older snapshots beside it go, oldest first, until all of them fit `budget_bytes`.
    """

    call: int
    session: int
    path: Path
    budget_bytes: int
    kind: Literal["save_kv"] = "save_kv"


@dataclass(frozen=True, slots=True)
class CountTokens:
    """Count the tokens of a text; answered by `Counted`."""

    call: int
    text: str
    kind: Literal["count_tokens"] = "count_tokens"


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Free everything and end."""

    kind: Literal["shutdown"] = "shutdown"


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How much of the weights is in memory, 0..1."""

    fraction: float
    kind: Literal["load_progress"] = "load_progress"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is ready."""

    card: ModelCard
    kind: Literal["loaded"] = "loaded"


@dataclass(frozen=True, slots=True)
class Done:
    """A call succeeded."""

    call: int
    kind: Literal["done"] = "done"


@dataclass(frozen=True, slots=True)
class Counted:
    """The answer to `CountTokens`."""

    call: int
    tokens: int
    kind: Literal["counted"] = "counted"


@dataclass(frozen=True, slots=True)
class Failed:
    """A call or turn failed, or (id 0) the load; `error` is a class name of `errors`."""

    call: int
    error: str
    message: str
    kind: Literal["failed"] = "failed"

    @classmethod
    def of(cls, call: int, error: EngineError) -> "Failed":
        """Return the event that reports `error`."""
        return cls(call, type(error).__name__, str(error))

    def as_error(self) -> EngineError:
        """Return the error to raise on the caller's side."""
        return ERROR_TYPES.get(self.error, EngineError)(self.message)


@dataclass(frozen=True, slots=True)
class Reading:
    """`done` of `total` prompt tokens are decoded."""

    turn: int
    done: int
    total: int
    kind: Literal["reading"] = "reading"


@dataclass(frozen=True, slots=True)
class MemoryChanged:
    """What the native side holds now; sent whenever that changes by more than a token."""

    report: MemoryReport
    kind: Literal["memory_changed"] = "memory_changed"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    turn: int
    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class Thinking:
    """A piece of what the model thinks."""

    turn: int
    text: str
    kind: Literal["thinking"] = "thinking"


@dataclass(frozen=True, slots=True)
class ThinkingUnseen:
    """The model has written so many tokens of thinking that is not shown."""

    turn: int
    tokens: int
    kind: Literal["thinking_unseen"] = "thinking_unseen"


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A tool call the model made."""

    turn: int
    tool_call: ToolCallDelta
    kind: Literal["tool_called"] = "tool_called"


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn is over, its native work done."""

    turn: int
    reason: FinishReason
    metrics: SessionMetrics
    trimmed_turns: int = 0
    kind: Literal["turn_ended"] = "turn_ended"


@dataclass(frozen=True, slots=True)
class Crashed:
    """The native side is gone; made by the link, never sent by the native side."""

    message: str
    kind: Literal["crashed"] = "crashed"


Command = Load | OpenSession | StartTurn | StopTurn | CloseSession | SaveKv | CountTokens | Shutdown
TurnEvent = Reading | Text | Thinking | ThinkingUnseen | ToolCalled | TurnEnded
Event = LoadProgress | Loaded | Done | Counted | Failed | MemoryChanged | Crashed | TurnEvent


class FrameCodec(Generic[T]):
    """Turns values of one tagged union into frames and back."""

    def __init__(self, union: Any) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(Annotated[union, Field(discriminator="kind")])

    def encode(self, value: T) -> bytes:
        """Return the whole frame, header included.

        Raises `UnsupportedError` for a value of a wrong type, and `EngineError` for a frame longer
        than `FRAME_LIMIT`: the other side would refuse both.
        """
        try:
            # Stdlib json: pydantic's own encoder refuses lone surrogates in values and replaces
            # them in the keys of objects.
            plain = self._adapter.dump_python(value, warnings="error")
            body = json.dumps(plain, default=_as_plain).encode()
        except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
            raise UnsupportedError(
                f"A value of the request cannot be sent to the engine: {_first_line(error)}. "
                "Use plain JSON values of the documented types."
            ) from error
        if len(body) > FRAME_LIMIT:
            raise EngineError(
                f"The request has {len(body) / 1e6:,.0f} MB, more than the {FRAME_LIMIT / 1e6:,.0f}"
                " MB that the engine takes. Start a new thread or leave out the largest messages."
            )
        return HEADER.pack(len(body)) + body

    def decode(self, body: bytes) -> T:
        """Return the value in a frame's body. Raises ValueError when it is not one."""
        try:
            return self._adapter.validate_python(json.loads(body))
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


def _as_plain(value: object) -> object:
    """Return a path as text. Raises TypeError for any other type that JSON lacks."""
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} is not JSON")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line), type(error).__name__)[:300].rstrip(".")


def refusal(body: bytes, error: ValueError) -> Failed | None:
    """Return the answer to a command that is none, `error` being why; None when it names no call.

    Its caller would wait for ever without one.
    """
    try:
        command = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(command, dict):
        return None
    number = 0 if command.get("kind") == "load" else command.get("call", command.get("turn"))
    if type(number) is not int:
        return None
    reason = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"
    return Failed.of(
        number,
        UnsupportedError(
            f"The engine does not understand the request: {reason[:300]}. "
            "Use values of the documented types."
        ),
    )


def command_codec() -> FrameCodec[Command]:
    """Return the codec of what the parent sends."""
    return FrameCodec(Command)


def event_codec() -> FrameCodec[Event]:
    """Return the codec of what the native side sends."""
    return FrameCodec(Event)
