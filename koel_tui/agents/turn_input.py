"""Conversion of AG-UI messages and tools to engine input."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from ag_ui.core import Tool

from koel_tui.engine import ChatMessage, ToolCallDelta, UnsupportedError
from koel_tui.protocol.messages import OpenReasoning
from koel_tui.text import repair

STEP = 500
"""The number of messages that are converted at once, which takes a few milliseconds."""


class TurnInput:
    """Converts the messages of one thread for its turns; unchanged ones are not converted again."""

    def __init__(self) -> None:
        self._converted: list[ChatMessage | None] = []

    async def convert(self, messages: Sequence[Any]) -> list[ChatMessage]:
        """Return what `engine_messages` returns; the event loop runs between the steps.

        Raises `UnsupportedError` for content that is not text.
        """
        previous = self._converted
        converted: list[ChatMessage | None] = []
        for index, message in enumerate(messages):
            if index and index % STEP == 0:
                await asyncio.sleep(0)
            known = previous[index] if index < len(previous) else None
            if known is None or not _is_source(message, known):
                known = _engine_message(message)
            converted.append(known)
        self._converted = converted
        return _with_last_thinking(converted, messages)


def engine_messages(messages: Sequence[Any]) -> list[ChatMessage]:
    """Return AG-UI messages as engine messages, without activity.

    Reasoning is omitted too, except at the end, where the model continues it or after it. Raises
    `UnsupportedError` for content that is not text.
    """
    return _with_last_thinking(map(_engine_message, messages), messages)


def function_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool in the format of chat templates."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _to_text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    others = sorted({part.type for part in content} - {"text"})
    if others:
        raise UnsupportedError(
            f"This thread has content of the kind {', '.join(others)}, but local models accept "
            "text only. Edit the message: describe the content, or attach its text as a text file."
        )
    return "\n".join(part.text for part in content)


def _engine_message(message: Any) -> ChatMessage | None:
    """Return a message as an engine message, None for activity and reasoning."""
    if message.role in ("activity", "reasoning"):
        return None
    fields = vars(message)  # a missing attribute of a model takes long
    calls = fields.get("tool_calls") or ()
    return ChatMessage(
        role="system" if message.role == "developer" else message.role,
        content=repair(_to_text(message.content)),
        name=fields.get("name"),
        tool_call_id=fields.get("tool_call_id"),
        tool_calls=tuple(
            ToolCallDelta(call.id, call.function.name, call.function.arguments) for call in calls
        ),
    )


def _is_source(message: Any, converted: ChatMessage) -> bool:
    """Return whether a message without calls is the one that was converted."""
    fields = vars(message)
    return (
        fields.get("content") is converted.content
        and message.role == converted.role
        and fields.get("name") == converted.name
        and fields.get("tool_call_id") == converted.tool_call_id
        and not fields.get("tool_calls")
        and not converted.tool_calls
    )


def _with_last_thinking(
    converted: Iterable[ChatMessage | None], messages: Sequence[Any]
) -> list[ChatMessage]:
    """Return the engine messages, and the thinking that the model is to continue."""
    result = [message for message in converted if message is not None]
    last = messages[-1] if messages else None
    if last is not None and last.role == "reasoning" and last.content:
        is_open = isinstance(last, OpenReasoning)
        thinking = repair(last.content)
        result.append(ChatMessage("assistant", "", thinking=thinking, thinking_is_open=is_open))
    return result
