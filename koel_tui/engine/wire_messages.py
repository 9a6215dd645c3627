"""Commands to the worker, events from it, and their serialization.

The runner process gets and sends frames: 4 bytes of length, big endian, then JSON. The
in-process engine passes events by reference and commands as copies. Both sides validate the
messages they receive; the sender validates commands too.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

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

T = TypeVar("T", bound="_Tagged")
HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 256 * 1024 * 1024
"""Maximum frame length in bytes; a larger conversation is assumed to be a bug."""


class _Tagged(Protocol):
    """A message of a tagged union."""

    @property
    def kind(self) -> str:
        """The tag."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """Load the weights and create the context; the first command, sent once."""

    spec: ModelSpec
    max_sessions: int | None
    parallel: int
    kind: Literal["load"] = "load"


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Open a session; answered by `Done` or `Failed` with the same call number.

    It has the options of the session's context; the settings of a turn are in `StartTurn`.
    """

    call: int
    session: int
    name: str = ""
    lora: Path | None = None
    kv: Path | None = None
    kind: Literal["open_session"] = "open_session"


@dataclass(frozen=True, slots=True)
class StartTurn:
    """Start a turn; its events follow, the last one `TurnEnded` or `Failed`.

    `settings` are complete: the session's settings are already merged in. `messages` begin with the
    system messages; the oldest turns after them are left out if they cannot fit the context.
    `omitted_turns` is their number, `omitted_size` the characters of their texts.
    """

    turn: int
    session: int
    messages: tuple[ChatMessage, ...]
    settings: TurnSettings = field(default_factory=TurnSettings)
    omitted_turns: int = 0
    omitted_size: int = 0
    kind: Literal["start_turn"] = "start_turn"


@dataclass(frozen=True, slots=True)
class StopTurn:
    """Stop a turn after the current step; ignored if the turn has ended."""

    turn: int
    kind: Literal["stop_turn"] = "stop_turn"


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Close a session and free its slot; sent after stopping its turn, if any."""

    session: int
    kind: Literal["close_session"] = "close_session"


@dataclass(frozen=True, slots=True)
class SaveKv:
    """Write a session's KV state to a file; answered by `Done` or `Failed`.

    Older snapshots in its folder are removed, oldest first, until all fit `budget_bytes`.
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
    """Free everything and end the worker."""

    kind: Literal["shutdown"] = "shutdown"


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """The loaded fraction of the weights, 0..1."""

    fraction: float
    kind: Literal["load_progress"] = "load_progress"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is loaded."""

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
    """A call or turn, or the load (number 0), failed; `error` is a class name of `errors`."""

    call: int
    error: str
    message: str
    kind: Literal["failed"] = "failed"

    @classmethod
    def from_error(cls, call: int, error: EngineError) -> "Failed":
        """Return the event for `error`."""
        return cls(call, type(error).__name__, str(error))

    def as_error(self) -> EngineError:
        """Return the error to raise in the caller."""
        return ERROR_TYPES.get(self.error, EngineError)(self.message)


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """`done` of `total` prompt tokens are prefilled."""

    turn: int
    done: int
    total: int
    kind: Literal["prefill"] = "prefill"


@dataclass(frozen=True, slots=True)
class MemoryChanged:
    """The current memory use; sent when it changes by more than a token."""

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
    """A piece of the model's thinking."""

    turn: int
    text: str
    kind: Literal["thinking"] = "thinking"


@dataclass(frozen=True, slots=True)
class HiddenThinking:
    """The number of tokens of hidden thinking generated so far."""

    turn: int
    tokens: int
    kind: Literal["hidden_thinking"] = "hidden_thinking"


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A tool call by the model."""

    turn: int
    tool_call: ToolCallDelta
    kind: Literal["tool_called"] = "tool_called"


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn has ended in the worker."""

    turn: int
    reason: FinishReason
    metrics: SessionMetrics
    trimmed_turns: int = 0
    kind: Literal["turn_ended"] = "turn_ended"


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker has died; created by the transport, never sent by the worker."""

    message: str
    kind: Literal["crashed"] = "crashed"


Command = Load | OpenSession | StartTurn | StopTurn | CloseSession | SaveKv | CountTokens | Shutdown
TurnEvent = PrefillProgress | Text | Thinking | HiddenThinking | ToolCalled | TurnEnded
Event = LoadProgress | Loaded | Done | Counted | Failed | MemoryChanged | Crashed | TurnEvent


class FrameCodec(Generic[T]):
    """A serializer and parser for the frames of one tagged union."""

    def __init__(self, union: Any) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(Annotated[union, Field(discriminator="kind")])

    def encode(self, value: T) -> bytes:
        """Return the whole frame, header included.

        Raises `UnsupportedError` for a value of a wrong type, and `EngineError` for a frame longer
        than `MAX_FRAME_BYTES`: the receiver would refuse both.
        """
        try:
            # The receiver has the same defaults; the `kind` of each type is one of them.
            plain = self._adapter.dump_python(value, warnings="error", exclude_defaults=True)
            plain["kind"] = value.kind
            # Stdlib json, because pydantic's encoder refuses lone surrogates in values and
            # replaces them in object keys. Without escapes, because they take twice as long.
            text = json.dumps(plain, default=_path_to_text, ensure_ascii=False)
            body = text.encode("utf-8", "surrogatepass")
        except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
            raise UnsupportedError(
                f"A value of the request cannot be sent to the engine: {_first_line(error)}. "
                "Use plain JSON values of the documented types."
            ) from error
        if len(body) > MAX_FRAME_BYTES:
            raise EngineError(
                f"The request has {len(body) / 1e6:,.0f} MB, more than the "
                f"{MAX_FRAME_BYTES / 1e6:,.0f} MB that the engine accepts. "
                "Start a new thread or leave out the largest messages."
            )
        return HEADER.pack(len(body)) + body

    def decode(self, body: bytes) -> T:
        """Parse the body of a frame. Raises ValueError if it is invalid."""
        try:
            return self._adapter.validate_python(json.loads(body))
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


def _path_to_text(value: object) -> object:
    """Return a path as text. Raises TypeError for any other non-JSON type."""
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} is not JSON")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line), type(error).__name__)[:300].rstrip(".")


def error_reply(body: bytes, error: ValueError) -> Failed | None:
    """Return the answer to an invalid command; None if the command has no call number.

    `error` is the cause. Without an answer the caller would wait endlessly.
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
    return Failed.from_error(
        number,
        UnsupportedError(
            f"The request is not valid: {reason[:300]}. Use values of the documented types."
        ),
    )


def command_codec() -> FrameCodec[Command]:
    """Return the codec of commands, sent by the parent process."""
    return FrameCodec(Command)


def event_codec() -> FrameCodec[Event]:
    """Return the codec of events, sent by the worker."""
    return FrameCodec(Event)
