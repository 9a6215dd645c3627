"""Messages of ChatGPT exports: text, code, canvas documents, tool calls, voice."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from koel_tui.markdown_closing import code_fence
from koel_tui.protocol import Message, ToolCall
from koel_tui.storage.interchange.chatgpt_citations import resolve_citations
from koel_tui.storage.interchange.portable_thread import parse_time
from koel_tui.text import repair

_ROLES = frozenset(("user", "assistant", "system", "tool"))
_HIDDEN_TYPES = {"model_editable_context", "reasoning_recap", "user_editable_context"}
_PYTHON = frozenset(("python", "python_user_visible", "code_interpreter"))
_CANVAS = "canmore."
_IMAGE = "image_asset_pointer"
_LANGUAGE = re.compile(r"[\w+#.-]{1,30}")
_NOT_IN_NAMES = re.compile(r"[^\w-]")


def thoughts_of(wire: Mapping[str, Any]) -> list[str]:
    """Return the texts of a message with thoughts; empty for any other message."""
    content = _mapping(wire, "content")
    if content.get("content_type") != "thoughts" or _is_hidden(wire):
        return []
    thoughts = (thought for thought in _list(content, "thoughts") if isinstance(thought, dict))
    return [text for thought in thoughts if (text := field_text(thought, "content"))]


def role_of(wire: Mapping[str, Any]) -> str:
    """Return the role of a message's author."""
    role = field_text(_mapping(wire, "author"), "role")
    return role if role in _ROLES else "assistant"


def to_message(
    wire: Mapping[str, Any], *, reasoning: str = "", call_id: str | None = None, is_answered: bool
) -> Message | None:
    """Return a message; None for a hidden or empty one, and for a note of the canvas.

    `call_id` is the call that the message answers if it is the result of a tool. `is_answered` is
    whether a result follows; a call without one becomes text.
    """
    author, content = _mapping(wire, "author"), _mapping(wire, "content")
    role, name = role_of(wire), field_text(author, "name")
    if not content or _is_hidden(wire):
        return None
    if content.get("content_type") == "thoughts" or (role == "tool" and name.startswith(_CANVAS)):
        return None
    message_id, text, recipient = field_text(wire, "id"), _content(content), _recipient(wire)
    calls: tuple[ToolCall, ...] = ()
    if role == "assistant" and text.strip():
        if recipient in _PYTHON or recipient == "all":
            text = _prose_or_code(content, text, recipient)
        elif recipient.startswith(_CANVAS):
            text = _canvas(text, _mapping(_mapping(wire, "metadata"), "canvas"))
        elif is_answered:
            calls, text = (_call(message_id, recipient, text),), ""
        else:
            text = code_fence(text, "json")
    if role != "user":
        text = resolve_citations(text, wire.get("metadata"))
    text = "\n".join(filter(None, [text, *_file_names(wire)]))
    if not text.strip() and not calls:
        return None
    return Message(
        id=message_id,
        role=role,
        content=text,
        timestamp=parse_time(wire.get("create_time")),
        name=name or None,
        reasoning=reasoning if role == "assistant" else "",
        tool_calls=calls,
        tool_call_id=call_id if role == "tool" else None,
    )


def field_text(source: Mapping[str, Any], key: str) -> str:
    """Return a value that is text; empty for any other value."""
    found = source.get(key)
    return repair(found) if isinstance(found, str) else ""


def _recipient(wire: Mapping[str, Any]) -> str:
    return field_text(wire, "recipient") or "all"


def _is_hidden(wire: Mapping[str, Any]) -> bool:
    metadata = _mapping(wire, "metadata")
    return metadata.get("is_visually_hidden_from_conversation") is True or wire.get("weight") == 0


def _content(content: Mapping[str, Any]) -> str:
    """Return the text of any kind of content."""
    kind = field_text(content, "content_type")
    if kind in _HIDDEN_TYPES:
        return ""
    parts = _list(content, "parts")
    texts = [_part(part) for part in parts]
    if kind in ("tether_quote", "sonic_webpage"):
        texts += [field_text(content, "title"), field_text(content, "url")]
    if kind == "system_error":
        texts.append(field_text(content, "name"))
    texts += [field_text(content, key) for key in ("text", "result")]
    if not any(texts) and any(map(_is_voice, parts)):
        return "[voice message]"
    return "\n".join(filter(None, texts))


def _part(part: object) -> str:
    """Return the text of a message part; other kinds become their name in brackets."""
    if isinstance(part, str):
        return repair(part)
    if not isinstance(part, dict):
        return ""
    text = field_text(part, "text")
    if text or _is_voice(part):
        return text
    kind = field_text(part, "content_type")
    return "[image]" if kind == _IMAGE else f"[{kind or 'attachment'}]"


def _is_voice(part: object) -> bool:
    """Return whether a part is audio or video of a voice conversation, not its transcription."""
    kind = part.get("content_type") if isinstance(part, dict) else None
    return isinstance(kind, str) and ("audio" in kind or "video" in kind)


def _file_names(wire: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each file that was sent with a message; images are parts already."""
    for item in filter(_is_mapping, _list(_mapping(wire, "metadata"), "attachments")):
        name = " ".join(field_text(item, "name").split())
        if name and not field_text(item, "mime_type").startswith("image/"):
            yield f"[file: {name}]"


def _prose_or_code(content: Mapping[str, Any], text: str, recipient: str) -> str:
    is_python = recipient in _PYTHON
    if content.get("content_type") != "code" and not is_python:
        return text
    language = field_text(content, "language")
    if not _LANGUAGE.fullmatch(language) or language == "unknown":
        language = "python" if is_python else ""
    return code_fence(text, language)


def _call(message_id: str, recipient: str, text: str) -> ToolCall:
    """Return a call of a tool; its name has only characters that servers accept."""
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    arguments = text if is_object else json.dumps({"input": text})
    name = _NOT_IN_NAMES.sub("_", recipient)[:64]
    return ToolCall(f"{message_id}-call", name, arguments, message_id)


def _canvas(text: str, info: Mapping[str, Any]) -> str:
    """Return the document, the changes or the comments of a call of the canvas."""
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        call = None
    if not isinstance(call, dict):
        return code_fence(text, "json")
    kind = field_text(call, "type") or field_text(info, "textdoc_type")
    title = " ".join((field_text(call, "name") or field_text(info, "title")).split())
    pieces = [f"Canvas: {title}" if title else "Canvas:"]
    if field_text(call, "content"):
        pieces.append(_document(field_text(call, "content"), kind))
    for change in filter(_is_mapping, _list(call, "updates")):
        pattern, replacement = field_text(change, "pattern"), field_text(change, "replacement")
        if pattern == ".*":
            pieces.append(_document(replacement, kind))
        else:
            pieces += ["Replaced:", code_fence(pattern), "by:", code_fence(replacement)]
    for comment in filter(_is_mapping, _list(call, "comments")):
        pieces += [code_fence(field_text(comment, "pattern")), field_text(comment, "comment")]
    return "\n\n".join(pieces) if len(pieces) > 1 else code_fence(text, "json")


def _document(text: str, kind: str) -> str:
    """Return a document of the canvas; `kind` is `document`, or for example `code/python`."""
    family, _, language = kind.partition("/")
    if family != "code":
        return text
    return code_fence(text, language if _LANGUAGE.fullmatch(language) else "")


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _mapping(source: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = source.get(key)
    return found if isinstance(found, dict) else {}


def _list(source: Mapping[str, Any], key: str) -> list[Any]:
    found = source.get(key)
    return found if isinstance(found, list) else []
