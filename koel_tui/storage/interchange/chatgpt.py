"""Import of ChatGPT exports: conversations, each a tree of messages with one visible branch."""

from collections.abc import Iterator, Mapping
from typing import Any

from koel_tui.protocol import Message
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.portable_thread import Thread, parse_time, thread_from_messages
from koel_tui.text import repair

_ROLES = frozenset(("user", "assistant", "system", "tool"))
_HIDDEN_TYPES = {"model_editable_context", "reasoning_recap", "user_editable_context"}


def is_chatgpt(wire: object) -> bool:
    """Return whether parsed JSON is a ChatGPT conversation or a list of them."""
    first = wire[0] if isinstance(wire, list) and wire else wire
    return isinstance(first, dict) and isinstance(first.get("mapping"), dict)


def from_chatgpt(wire: Any) -> Iterator[Thread | NotAThreadError]:
    """Yield the conversations, or an error with the reason for each invalid one."""
    for number, conversation in enumerate(wire if isinstance(wire, list) else [wire], 1):
        try:
            thread = _thread(conversation)
        except NotAThreadError as error:
            yield NotAThreadError(f"conversation {number}: {error}")
            continue
        if thread.state.messages:
            yield thread


def _thread(wire: Any) -> Thread:
    mapping = wire.get("mapping") if isinstance(wire, dict) else None
    if not isinstance(mapping, dict):
        raise NotAThreadError("it has no mapping")
    messages: list[Message] = []
    thoughts: list[str] = []
    for node in _branch(mapping, wire.get("current_node")):
        message = _message(node, thoughts)
        if message is not None:
            messages.append(message)
    conversation_id = _text(wire, "conversation_id") or _text(wire, "id")
    return thread_from_messages(
        f"chatgpt-{conversation_id}" if conversation_id else "",
        messages,
        title=_text(wire, "title"),
        model=_text(wire, "default_model_slug"),
        times=(parse_time(wire.get("create_time")), parse_time(wire.get("update_time"))),
    )


def _branch(mapping: Mapping[str, Any], current_node: object) -> list[Mapping[str, Any]]:
    """Return the messages from the root to the current node, or else to the last leaf."""
    nodes = {key: node for key, node in mapping.items() if isinstance(node, dict)}
    key = current_node
    if not isinstance(key, str) or key not in nodes:
        parents = {node["parent"] for node in nodes.values() if isinstance(node.get("parent"), str)}
        key = next((key for key in reversed(nodes) if key not in parents), None)
    branch: list[Mapping[str, Any]] = []
    seen: set[object] = set()
    while isinstance(key, str) and key in nodes:
        if key in seen:
            raise NotAThreadError("its messages form a cycle")
        seen.add(key)
        node = nodes[key]
        if isinstance(node.get("message"), dict):
            branch.append({"id": key, **node["message"]})
        key = node.get("parent")
    return branch[::-1]


def _message(wire: Mapping[str, Any], thoughts: list[str]) -> Message | None:
    """Return a message, None for a hidden or empty one; collect thoughts for the next answer."""
    author, content = wire.get("author"), wire.get("content")
    if not isinstance(author, dict) or not isinstance(content, dict) or _is_hidden(wire):
        return None
    role = _text(author, "role")
    if role not in _ROLES:
        role = "assistant"
    if content.get("content_type") == "thoughts":
        thoughts += filter(None, (_text(item, "content") for item in _items(content, "thoughts")))
        return None
    text = _content(content)
    if not text.strip():
        return None
    reasoning = ""
    if role == "assistant":
        reasoning = "\n\n".join(thoughts)
        thoughts.clear()
    return Message(
        id=_text(wire, "id"),
        role=role,
        content=text,
        timestamp=parse_time(wire.get("create_time")),
        name=_text(author, "name") or None,
        reasoning=reasoning,
    )


def _is_hidden(wire: Mapping[str, Any]) -> bool:
    metadata = wire.get("metadata")
    if isinstance(metadata, dict) and metadata.get("is_visually_hidden_from_conversation") is True:
        return True
    return wire.get("weight") == 0


def _content(content: Mapping[str, Any]) -> str:
    if content.get("content_type") in _HIDDEN_TYPES:
        return ""
    texts = [_part(part) for part in _list(content, "parts")]
    texts += [_text(content, "text"), _text(content, "result")]
    return "\n".join(filter(None, texts))


def _part(part: object) -> str:
    """Return the text of a message part; other kinds become their name in brackets."""
    if isinstance(part, str):
        return repair(part)
    if not isinstance(part, dict):
        return ""
    return _text(part, "text") or f"[{_text(part, 'content_type') or 'attachment'}]"


def _items(source: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return [item for item in _list(source, key) if isinstance(item, dict)]


def _list(source: Mapping[str, Any], key: str) -> list[Any]:
    found = source.get(key)
    return found if isinstance(found, list) else []


def _text(source: Mapping[str, Any], key: str) -> str:
    found = source.get(key)
    return repair(found) if isinstance(found, str) else ""
