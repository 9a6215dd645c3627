"""Conversion of AG-UI messages and tools to engine input. Pure."""

from typing import Any

from ag_ui.core import Tool

from koel_tui.engine import ChatMessage, ToolCallDelta, UnsupportedError
from koel_tui.protocol.messages import OpenReasoning
from koel_tui.text import repair


def engine_messages(messages: list[Any]) -> list[ChatMessage]:
    """Return AG-UI messages as engine messages, without activity.

    Reasoning is omitted too, except at the end, where the model continues it or after it. Raises
    `UnsupportedError` for content that is not text.
    """
    converted = []
    for message in messages:
        if message.role in ("activity", "reasoning"):
            continue
        calls = tuple(
            ToolCallDelta(call.id, call.function.name, call.function.arguments)
            for call in getattr(message, "tool_calls", None) or ()
        )
        converted.append(
            ChatMessage(
                role="system" if message.role == "developer" else message.role,
                content=repair(_to_text(message.content)),
                name=getattr(message, "name", None),
                tool_call_id=getattr(message, "tool_call_id", None),
                tool_calls=calls,
            )
        )
    last = messages[-1] if messages else None
    if last is not None and last.role == "reasoning" and last.content:
        is_open = isinstance(last, OpenReasoning)
        thinking = repair(last.content)
        converted.append(ChatMessage("assistant", "", thinking=thinking, thinking_is_open=is_open))
    return converted


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
