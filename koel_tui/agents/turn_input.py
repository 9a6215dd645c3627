"""AG-UI messages and tools as the engine takes them. Pure."""

from typing import Any

from ag_ui.core import Tool

from koel_tui.engine import ChatMessage, ToolCallDelta
from koel_tui.text import repair


def engine_messages(messages: list[Any]) -> list[ChatMessage]:
    """Return AG-UI messages as the engine takes them; activity and reasoning are left out."""
    taken = []
    for message in messages:
        if message.role in ("activity", "reasoning"):
            continue
        calls = tuple(
            ToolCallDelta(call.id, call.function.name, call.function.arguments)
            for call in getattr(message, "tool_calls", None) or ()
        )
        taken.append(
            ChatMessage(
                role="system" if message.role == "developer" else message.role,
                content=repair(_text_of(message.content)),
                name=getattr(message, "name", None),
                tool_call_id=getattr(message, "tool_call_id", None),
                tool_calls=calls,
            )
        )
    return taken


def function_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool in the form chat templates take."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _text_of(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if getattr(part, "type", "") == "text")
