"""Messages in AG-UI's models and in ours."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ag_ui import core

from koel_tui.protocol.plain import plain
from koel_tui.protocol.state import Message, ToolCall
from koel_tui.text import repair

_MODELLED = ("id", "role", "content", "name", "toolCallId", "toolCalls")
_ROLES = {"developer": "system"}


def from_ag_ui(messages: Iterable[core.Message]) -> tuple[Message, ...]:
    """Return the messages as ours.

    A message of role reasoning becomes the reasoning of the assistant message after it, or one
    of its own where none follows. Of messages with the same id the last is taken. Raises
    TypeError, ValueError or RecursionError when a message holds values that JSON cannot.
    """
    found: list[Message] = []
    thoughts: list[core.ReasoningMessage] = []
    for message in messages:
        if isinstance(message, core.ReasoningMessage):
            thoughts.append(message)
            continue
        ours = _from_ag_ui(plain(message.model_dump(by_alias=True)))
        if ours.role == "assistant" and thoughts:
            ours = replace(ours, reasoning=_joined(thoughts))
            thoughts.clear()
        found.append(ours)
    if thoughts:
        found.append(Message(thoughts[-1].id, "assistant", reasoning=_joined(thoughts)))
    return tuple({message.id: message for message in found}.values())


def to_ag_ui(messages: Iterable[Message]) -> list[core.Message]:
    """Return the messages as an agent is asked with them.

    Left out are assistant messages that say nothing and what is ours alone, such as activity.
    """
    return [known for message in messages if (known := _to_ag_ui(message)) is not None]


def _joined(thoughts: Iterable[core.ReasoningMessage]) -> str:
    return "\n\n".join(thought.content for thought in thoughts)


def _from_ag_ui(wire: dict[str, Any]) -> Message:
    content, attachments = _content(wire.get("content"))
    return Message(
        id=wire["id"],
        role=_ROLES.get(wire["role"], wire["role"]),
        content=content,
        tool_call_id=wire.get("toolCallId"),
        name=wire.get("name"),
        tool_calls=tuple(
            ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in wire.get("toolCalls") or ()
        ),
        attachments=attachments,
        extra={key: value for key, value in wire.items() if key not in _MODELLED},
    )


def _content(content: Any) -> tuple[str, tuple[dict[str, Any], ...]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    if isinstance(content, dict):  # activity
        return json.dumps(content), ()
    text = "".join(part["text"] for part in content if part["type"] == "text")
    return text, tuple(part for part in content if part["type"] != "text")


def _to_ag_ui(message: Message) -> core.Message | None:
    # Nothing with a broken surrogate in it passes the validation of AG-UI's models.
    content, name = repair(message.content), message.name and repair(message.name)
    match message.role:
        case "user":
            return core.UserMessage(id=message.id, role="user", content=content, name=name)
        case "system":
            return core.SystemMessage(id=message.id, role="system", content=content, name=name)
        case "tool":
            return core.ToolMessage(
                id=message.id, role="tool", content=content, tool_call_id=message.tool_call_id or ""
            )
        case "assistant" if content or message.tool_calls:
            return core.AssistantMessage(
                id=message.id,
                role="assistant",
                content=content or None,
                name=name,
                tool_calls=_calls(message.tool_calls) or None,
            )
        case _:
            return None


def _calls(calls: Sequence[ToolCall]) -> list[core.ToolCall]:
    return [
        core.ToolCall(
            id=call.id,
            type="function",
            function=core.FunctionCall(name=call.name, arguments=repair(call.arguments)),
        )
        for call in calls
    ]
