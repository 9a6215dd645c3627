"""Tools as plain text, for models whose chat template does not support them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from koel_tui.engine.types import ChatMessage, ToolCallDelta

_INSTRUCTIONS = """\
You can call these tools:
<tools>
{tools}
</tools>
To call a tool, answer with its name and its arguments in this form and nothing else:
<tool_call>
{{"name": "the tool's name", "arguments": {{"the argument's name": "its value"}}}}
</tool_call>
The result comes in <tool_response></tool_response>. Answer yourself where no tool is needed."""


def tools_as_text(
    messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]]
) -> tuple[ChatMessage, ...]:
    """Return the conversation with tools in its system prompt, and calls and results as text."""
    plain = tuple(_as_text(message) for message in messages)
    if not tools:
        return plain
    tool_lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    instructions = _INSTRUCTIONS.format(tools=tool_lines)
    if plain and plain[0].role == "system":
        system = f"{plain[0].content}\n\n{instructions}" if plain[0].content else instructions
        return (replace(plain[0], content=system), *plain[1:])
    return (ChatMessage("system", instructions), *plain)


def _as_text(message: ChatMessage) -> ChatMessage:
    if message.role == "tool":
        return ChatMessage("user", f"<tool_response>\n{message.content}\n</tool_response>")
    if message.tool_calls:
        parts = [message.content, *map(_call_text, message.tool_calls)]
        return replace(message, content="\n".join(filter(None, parts)), tool_calls=())
    return message


def _call_text(call: ToolCallDelta) -> str:
    name = json.dumps(call.name, ensure_ascii=False)
    return f'<tool_call>\n{{"name": {name}, "arguments": {call.arguments}}}\n</tool_call>'
