"""Conversion of messages between AG-UI's models and ours."""

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from ag_ui import core
from pydantic import TypeAdapter, ValidationError

from koel_tui.protocol.codec.encrypted_reasoning import (
    decode_encrypted_value,
    encode_encrypted_value,
)
from koel_tui.protocol.codec.json_values import plain
from koel_tui.protocol.errors import ProtocolError
from koel_tui.protocol.message_order import drop_unanswered, has_answers_to_earlier, last_question
from koel_tui.protocol.run_end import echo_ids
from koel_tui.protocol.state import Message, ToolCall
from koel_tui.text import repair

_MODELLED = ("id", "role", "content", "name", "toolCallId", "toolCalls")
_MODELLED_OF_CALLS = ("id", "type", "function")
_ROLES = {"developer": "system"}
STEP = 100
"""The number of messages that are converted at once, which takes about a millisecond."""


def from_ag_ui(messages: Iterable[core.Message]) -> tuple[Message, ...]:
    """Return AG-UI messages as ours.

    A reasoning message becomes the reasoning of the next assistant message, or a separate message
    if none follows. Of messages with the same id the last one is used. Raises TypeError, ValueError
    or RecursionError if JSON cannot represent a value.
    """
    converted: list[Message] = []
    thoughts: list[core.ReasoningMessage] = []
    for message in messages:
        if isinstance(message, core.ReasoningMessage):
            thoughts.append(message)
            continue
        converted_message = _from_ag_ui(plain(message.model_dump(by_alias=True)))
        if converted_message.role == "assistant" and thoughts:
            converted_message = _thought(converted_message, thoughts)
            thoughts.clear()
        converted.append(converted_message)
    if thoughts:
        converted.append(_thought(Message(thoughts[-1].id, "assistant"), thoughts))
    return tuple({message.id: message for message in converted}.values())


class OpenReasoning(core.ReasoningMessage):
    """Reasoning that was interrupted, at the end of the messages of a run.

    An agent of this program may continue it, under the id `thought_id`. It is not sent to others.
    """

    thought_id: str


class MessageConverter:
    """Converts the messages of one thread for its runs; those of earlier turns only once.

    The converted messages before the last user message are returned again for the next run, as the
    same objects.
    """

    def __init__(self) -> None:
        self._messages: tuple[Message, ...] = ()  # ends before a user message
        self._converted: list[core.Message] = []
        self._names: set[str] = set()  # all ids of the encrypted reasoning so far
        self._used: dict[str, bytes] = {}  # the encrypted reasoning in `_converted`

    def steps(
        self, messages: Iterable[Message], echo: Mapping[str, bytes] | None = None
    ) -> Generator[None, None, list[core.Message]]:
        """Return a generator that converts at most `STEP` messages between two yields.

        It returns the messages in the form that is sent to an agent; see `to_ag_ui`.
        """
        messages, echo = tuple(messages), dict(echo or {})
        if not self._fits(messages, echo):
            self._messages, self._converted, self._used = (), [], {}
        start = len(self._messages)
        rest = messages[start:]
        remaining = {name: echo[name] for name in echo if name not in self._used}
        sendable = drop_unanswered(rest)
        border = last_question(sendable) or 0
        earlier, used = list(self._converted), self._used
        converted: list[core.Message] = []
        for count, message in enumerate(sendable):
            if count == border:
                earlier, converted = earlier + converted, []
                used = {name: echo[name] for name in echo if name not in remaining}
            elif count % STEP == 0 and count:
                yield
            converted += _pop_reasoning(message, remaining)
            sent = _to_ag_ui(message, remaining)
            if sent is not None:
                converted.append(sent)
        question = last_question(rest) or 0
        if border and not has_answers_to_earlier(rest[question:]):
            self._messages = messages[: start + question]
            self._converted = earlier
            self._names, self._used = set(echo), used
        return [*earlier, *_with_last_reasoning(converted, sendable[-1:], remaining)]

    def _fits(self, messages: tuple[Message, ...], echo: Mapping[str, bytes]) -> bool:
        """Return whether the converted messages are those that `messages` begins with."""
        count = len(self._messages)
        if not count:
            return True
        if messages[:count] != self._messages or has_answers_to_earlier(messages[count:]):
            return False
        if any(echo.get(name) != value for name, value in self._used.items()):
            return False
        new = echo.keys() - self._names
        return not new or all(new.isdisjoint(echo_ids(each)) for each in self._messages)


def to_ag_ui(
    messages: Iterable[Message], echo: Mapping[str, bytes] | None = None
) -> list[core.Message]:
    """Return the messages in the form that is sent to an agent.

    Omitted are assistant messages without content, calls without an answer, answers without a call,
    and local messages, such as activity. An answer with thinking only is omitted too, except at the
    end of the thread, because an agent may answer after it. `echo`, the state's `reasoning_echo`,
    is sent on the messages and calls it belongs to, the rest of it before the last user message.
    Attachments are sent as content parts. Raises `ProtocolError` for an attachment that AG-UI does
    not support.
    """
    steps = MessageConverter().steps(messages, echo)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            converted: list[core.Message] = end.value
            return converted


def extract_encrypted_reasoning(messages: Iterable[core.Message]) -> dict[str, bytes]:
    """Return the encrypted reasoning of the messages, by the ids of the reasoning."""
    return {
        message.id: decode_encrypted_value(message.encrypted_value)
        for message in messages
        if isinstance(message, core.ReasoningMessage) and message.encrypted_value is not None
    }


def parse_content(content: Any) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Return AG-UI content, JSON of a text, of parts or of an activity, as text and other parts."""
    if content is None or isinstance(content, str):
        return content or "", ()
    if isinstance(content, dict):  # activity
        return json.dumps(content), ()
    text = "".join(part["text"] for part in content if part["type"] == "text")
    return text, tuple(part for part in content if part["type"] != "text")


def _thought(message: Message, thoughts: Sequence[core.ReasoningMessage]) -> Message:
    return replace(
        message,
        reasoning="\n\n".join(thought.content for thought in thoughts),
        reasoning_ids=tuple(thought.id for thought in thoughts),
    )


def _from_ag_ui(wire: dict[str, Any]) -> Message:
    content, attachments = parse_content(wire.get("content"))
    return Message(
        id=wire["id"],
        role=_ROLES.get(wire["role"], wire["role"]),
        content=content,
        tool_call_id=wire.get("toolCallId"),
        name=wire.get("name"),
        tool_calls=tuple(
            ToolCall(
                call["id"],
                call["function"]["name"],
                call["function"]["arguments"],
                parent_message_id=wire["id"],
                extra={key: call[key] for key in call if key not in _MODELLED_OF_CALLS},
            )
            for call in wire.get("toolCalls") or ()
        ),
        attachments=attachments,
        extra={key: value for key, value in wire.items() if key not in _MODELLED},
    )


def _with_last_reasoning(
    converted: list[core.Message], last: Sequence[Message], echo: Mapping[str, bytes]
) -> list[core.Message]:
    """Return the end of a thread with the thinking of the `last` message and the rest of `echo`."""
    for message in last:
        if message.is_thinking_only and (not converted or converted[-1].role != "reasoning"):
            converted = [*converted, _reasoning_message(message)]
    questions = [index for index, message in enumerate(converted) if message.role == "user"]
    position = questions[-1] if questions else len(converted)
    values = [_encrypted_message(name, "", value) for name, value in echo.items()]
    return [*converted[:position], *values, *converted[position:]]


def _to_ag_ui(message: Message, echo: dict[str, bytes]) -> core.Message | None:
    # AG-UI's models reject broken surrogates, so we repair them.
    content, name = repair(message.content), message.name and repair(message.name)
    match message.role:
        case "user":
            return core.UserMessage(
                id=message.id, role="user", content=_with_parts(content, message), name=name
            )
        case "system" | "assistant" if message.attachments:
            raise _attachment_error(message)
        case "system":
            return core.SystemMessage(id=message.id, role="system", content=content, name=name)
        case "tool":
            return core.ToolMessage(
                id=message.id,
                role="tool",
                content=_with_parts(content, message),
                tool_call_id=message.tool_call_id or "",
                encrypted_value=_pop_encrypted_value(echo, message),
            )
        case "assistant" if content or message.tool_calls:
            return core.AssistantMessage(
                id=message.id,
                role="assistant",
                content=content or None,
                name=name,
                tool_calls=_calls(message.tool_calls, echo) or None,
                encrypted_value=_pop_encrypted_value(echo, message),
            )
        case _:
            return None


def _with_parts(text: str, message: Message) -> str | list[core.ContentPart]:
    """Return the content of a message: its text, then its attachments as parts."""
    if not message.attachments:
        return text
    try:
        parts = [_part_adapter().validate_python(each) for each in message.attachments]
    except ValidationError as error:
        raise _attachment_error(message) from error
    return [core.TextInputContent(type="text", text=text), *parts] if text else parts


@cache
def _part_adapter() -> TypeAdapter[core.ContentPart]:
    return TypeAdapter(core.ContentPart)  # lazy, because most threads have no attachment


def _attachment_error(message: Message) -> ProtocolError:
    kinds = sorted({str(each.get("type", "unknown")) for each in message.attachments})
    return ProtocolError(
        f"A message of the role {message.role} has an attachment of the kind {', '.join(kinds)} "
        "that AG-UI cannot send for this role. Edit the message to remove it, or start a branch "
        "before it.",
        "malformed",
    )


def _calls(calls: Sequence[ToolCall], echo: dict[str, bytes]) -> list[core.ToolCall]:
    return [
        core.ToolCall(
            id=call.id,
            type="function",
            function=core.FunctionCall(name=call.name, arguments=repair(call.arguments)),
            encrypted_value=_pop_encrypted_value(echo, call),
        )
        for call in calls
    ]


def _pop_encrypted_value(echo: dict[str, bytes], owner: Message | ToolCall) -> str | None:
    """Pop the encrypted value of a message or call from `echo`; default to its own value."""
    if owner.id in echo:
        return encode_encrypted_value(echo.pop(owner.id))
    own_value = owner.extra.get("encryptedValue")
    return repair(own_value) if isinstance(own_value, str) else None


def _reasoning_message(message: Message) -> core.ReasoningMessage:
    """Return the reasoning of an answer with thinking only."""
    thought = repair(message.reasoning)
    if message.interrupted and len(message.reasoning_ids) == 1:
        (thought_id,) = message.reasoning_ids
        return OpenReasoning(
            id=message.id, role="reasoning", content=thought, thought_id=thought_id
        )
    return core.ReasoningMessage(id=message.id, role="reasoning", content=thought)


def _pop_reasoning(message: Message, echo: dict[str, bytes]) -> list[core.Message]:
    """Pop the encrypted reasoning of a message from `echo`; the first gets the message's text."""
    names = [name for name in dict.fromkeys(message.reasoning_ids) if name in echo]
    texts = [message.reasoning, *("" for _ in names)]
    return [
        _encrypted_message(name, text, echo.pop(name))
        for name, text in zip(names, texts, strict=False)
    ]


def _encrypted_message(name: str, text: str, value: bytes) -> core.ReasoningMessage:
    return core.ReasoningMessage(
        id=name,
        role="reasoning",
        content=repair(text),
        encrypted_value=encode_encrypted_value(value),
    )
