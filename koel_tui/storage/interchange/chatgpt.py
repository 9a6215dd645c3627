"""Import of ChatGPT exports: conversations, each a tree of messages, kept with its branches."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

from koel_tui.protocol import ChatState, Message
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.chatgpt_messages import (
    field_text,
    role_of,
    thoughts_of,
    to_message,
)
from koel_tui.storage.interchange.message_tree import MessageTree
from koel_tui.storage.interchange.portable_thread import Thread, parse_time, thread_from_state

Nodes = dict[str, dict[str, Any]]


def is_chatgpt(wire: object) -> bool:
    """Return whether parsed JSON is a ChatGPT conversation."""
    return isinstance(wire, dict) and isinstance(wire.get("mapping"), dict)


def from_chatgpt(wire: Any) -> Thread | None:
    """Return the thread of a conversation, None if it has no messages. Raises `NotAThreadError`."""
    thread = _thread(wire)
    return thread if thread.state.messages else None


def _thread(wire: Any) -> Thread:
    mapping = wire.get("mapping") if isinstance(wire, dict) else None
    if not isinstance(mapping, dict):
        raise NotAThreadError("it has no mapping")
    nodes = {key: node for key, node in mapping.items() if isinstance(node, dict)}
    tree, shown_id = _Builder(nodes).build(_shown_key(nodes, wire.get("current_node")))
    system = _take_system_prompt(tree, shown_id)
    messages, forks = tree.branches(shown_id)
    conversation_id = field_text(wire, "conversation_id") or field_text(wire, "id")
    thread = thread_from_state(
        f"chatgpt-{conversation_id}" if conversation_id else "",
        ChatState(messages=messages, forks=forks),
        (parse_time(wire.get("create_time")), parse_time(wire.get("update_time"))),
        title=field_text(wire, "title"),
        model=field_text(wire, "default_model_slug") or _last_model(nodes),
        system=system,
    )
    return replace(thread, is_foreign=True)


def _take_system_prompt(tree: MessageTree, shown_id: str | None) -> str:
    """Remove a system message at the start of the shown messages and return its text."""
    path = tree.path(shown_id)
    if not path or tree.messages[path[0]].role != "system":
        return ""
    return tree.remove(path[0]).content


def _last_model(nodes: Nodes) -> str:
    """Return the model of the last answer that names one, for exports of 2023."""
    for node in reversed(nodes.values()):
        message = node.get("message")
        metadata = message.get("metadata") if isinstance(message, dict) else None
        if isinstance(metadata, dict) and (model := field_text(metadata, "model_slug")):
            return model
    return ""


def _shown_key(nodes: Nodes, current_node: object) -> str | None:
    """Return the node in view, or else the last one that no other node follows."""
    if isinstance(current_node, str) and current_node in nodes:
        return current_node
    parents = {node["parent"] for node in nodes.values() if isinstance(node.get("parent"), str)}
    return next((key for key in reversed(nodes) if key not in parents), None)


class _Position(NamedTuple):
    """The position of a node: the message before it, its call without a result, open thoughts."""

    after: str | None = None
    call_id: str | None = None
    thoughts: tuple[str, ...] = ()


class _Builder:
    """Converts the nodes of a conversation to a tree of messages.

    Hidden, empty and deleted nodes are left out; the messages after them follow the message before
    them. A node whose parent is missing starts a branch of the thread.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._parents = _parents(nodes)
        self._children: dict[str | None, list[str]] = {}
        self._tree = MessageTree()

    def build(self, shown_key: str | None) -> tuple[MessageTree, str | None]:
        """Return the tree, and the id of the last message up to the node `shown_key`.

        Raises `NotAThreadError` for a cycle before that node.
        """
        self._check_path(shown_key)
        for key in self._nodes:
            self._children.setdefault(self._parents[key], []).append(key)
        for key, node in self._nodes.items():
            if key in self._children:
                order = {child: index for index, child in enumerate(_child_keys(node))}
                self._children[key].sort(key=lambda child: order.get(child, len(order)))
        shown_id: str | None = None
        unvisited = dict.fromkeys(self._nodes)
        stack = [(key, _Position()) for key in reversed(self._children.get(None, []))]
        while stack or unvisited:
            # Nodes that are left are in a cycle, which is opened here.
            key, position = stack.pop() if stack else (next(iter(unvisited)), _Position())
            if key not in unvisited:
                continue
            del unvisited[key]
            position = self._add(key, position)
            if key == shown_key:
                shown_id = position.after
            stack += [(child, position) for child in reversed(self._children.get(key, []))]
        return self._tree, shown_id

    def _check_path(self, key: str | None) -> None:
        seen: set[str] = set()
        while key is not None:
            if key in seen:
                raise NotAThreadError("its messages form a cycle")
            seen.add(key)
            key = self._parents[key]

    def _add(self, key: str, position: "_Position") -> "_Position":
        """Add the message of a node; return the position of the nodes after it."""
        wire = self._nodes[key].get("message")
        children = self._children.get(key, [])
        if not isinstance(wire, dict):
            return self._end(key, position, children)
        if thoughts := thoughts_of(wire):
            thinking = _Position(position.after, position.call_id, (*position.thoughts, *thoughts))
            return thinking if children else self._add_thinking(key, thinking)
        message = to_message(
            {**wire, "id": self._unused_id(field_text(wire, "id") or key, key)},
            reasoning="\n\n".join(position.thoughts),
            call_id=position.call_id,
            is_answered=any(self._role(child) == "tool" for child in children),
        )
        if message is None:
            return self._end(key, position, children)
        if message.role == "user" and position.thoughts:
            position = self._add_thinking(f"{message.id}-thoughts", position)
        self._tree.add(message, position.after)
        call_id = message.tool_calls[0].id if message.tool_calls else None
        thoughts_left = () if message.role == "assistant" else position.thoughts
        return _Position(message.id, call_id, thoughts_left)

    def _end(self, key: str, position: "_Position", children: list[str]) -> "_Position":
        """Add the thoughts before a node without a message if no node follows."""
        if children or not position.thoughts:
            return position
        return self._add_thinking(key, position)

    def _add_thinking(self, message_id: str, position: "_Position") -> "_Position":
        """Add the thoughts that no answer follows as a message."""
        thinking = Message(
            self._unused_id(message_id, message_id),
            "assistant",
            reasoning="\n\n".join(position.thoughts),
        )
        self._tree.add(thinking, position.after)
        return _Position(thinking.id)

    def _role(self, key: str) -> str:
        wire = self._nodes[key].get("message")
        return role_of(wire) if isinstance(wire, dict) else ""

    def _unused_id(self, message_id: str, key: str) -> str:
        """Return the id, or one made of the node's key if another message has it."""
        ids = (f"{key}-{number}" for number in count(2))
        while message_id in self._tree.messages:
            message_id = next(ids)
        return message_id


def _parents(nodes: Nodes) -> dict[str, str | None]:
    """Return the parent of each node; a node without one may be in a list of children."""
    listed = {child: key for key, node in nodes.items() for child in _child_keys(node)}
    parents: dict[str, str | None] = {}
    for key, node in nodes.items():
        parent = node.get("parent")
        is_known = isinstance(parent, str) and parent in nodes
        parents[key] = parent if is_known else listed.get(key)
    return parents


def _child_keys(node: Mapping[str, Any]) -> list[str]:
    children = node.get("children")
    return [key for key in children if isinstance(key, str)] if isinstance(children, list) else []
