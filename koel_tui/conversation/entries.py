"""Transcript entries, and the entry cache of a thread. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from koel_tui.conversation.branches import BranchPoint, find_branch_points
from koel_tui.conversation.incomplete_answers import end_note
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState, Message, ToolCall


@dataclass(frozen=True, slots=True)
class Entry:
    """A message or a block of one; `is_writing` is true while it may still grow.

    `note` says how a message ended, or is the headline of a thinking or tool call block, whose
    `text` is empty while it is folded. `branch_point` is set if the entry begins a branch.
    """

    id: str
    role: str
    text: str
    is_writing: bool = False
    note: str = ""
    branch_point: BranchPoint | None = None

    @property
    def label(self) -> str:
        """The branch mark and the note, joined; empty if there is neither."""
        mark = self.branch_point.label if self.branch_point is not None else ""
        return " ".join(filter(None, (mark, self.note)))


def content_version(entries: Sequence[Entry]) -> str:
    """Return a string that changes when there is a new message or new text in the last one.

    Foldable blocks are ignored, because unfolding them adds no new content.
    """
    for entry in reversed(entries):
        if entry.role in ("user", "assistant"):
            return f"{entry.id} {len(entry.text)}"
    return ""


_SHOWN_ROLES = ("user", "assistant")
_MAX_HEADLINE = 200


@dataclass(frozen=True, slots=True)
class _EarlierTurns:
    """The messages and the entries of all turns but the last, and the branches that begin there."""

    messages: "tuple[Message, ...]" = ()
    entries: tuple[Entry, ...] = ()
    branch_points: dict[str, BranchPoint] = field(default_factory=dict)

    @property
    def unmarked_branch(self) -> BranchPoint | None:
        """The last branch point if no entry has its mark, because its messages have no entry."""
        last = next(reversed(self.branch_points.values()), None)
        marked = any(entry.branch_point == last for entry in reversed(self.entries))
        return None if marked else last


class EntryCache:
    """A cache of the entries of one thread; those of earlier turns are built once."""

    def __init__(self) -> None:
        self.trailing_branch: BranchPoint | None = None
        """The fork at the end of the thread whose shown branch has no complete message."""
        self._state: ChatState | None = None
        self._shown: Sequence[Entry] = ()
        """The entries of `_state`."""
        self._messages: tuple[Message, ...] = ()
        self._entries: list[Entry] = []
        """The entries of `_messages`, the complete ones."""
        self._earlier = _EarlierTurns()
        self._is_unfolded = False

    def entries(self, state: "ChatState") -> "Sequence[Entry]":
        """Return the entries of this thread state, oldest first."""
        if state is not self._state:
            self._state, self._shown = state, self._build(state)
        return self._shown

    def toggle_folded(self) -> None:
        """Toggle whether thinking and tool calls are folded."""
        self._is_unfolded = not self._is_unfolded
        self._state, self._messages, self._earlier = None, (), _EarlierTurns()

    def _build(self, state: "ChatState") -> "Sequence[Entry]":
        if state.messages is not self._messages:
            self._messages = state.messages
            starts, self.trailing_branch = find_branch_points(state)
            self._entries = self._build_complete(state.messages, starts)
        if not state.open_messages:
            return self._entries
        pending = state.pending_messages
        starts = {pending[0].id: self.trailing_branch} if self.trailing_branch is not None else {}
        pending_entries = build_entries(
            pending, is_writing=True, is_unfolded=self._is_unfolded, branch_points=starts
        )
        return [*self._entries, *pending_entries]

    def _build_complete(
        self, messages: "tuple[Message, ...]", branch_points: Mapping[str, BranchPoint]
    ) -> list[Entry]:
        """Return the entries of complete messages; reuse those of the turns before the last."""
        from koel_tui.protocol.message_order import has_answers_to_earlier, last_question

        turn = last_question(messages) or 0
        if has_answers_to_earlier(messages[turn:]):  # they are shown with the calls
            return self._build_part(messages, branch_points)
        earlier, count = self._earlier, len(self._earlier.messages)
        if (
            turn < count
            or messages[:count] != earlier.messages
            or earlier.branch_points != _before(messages, count, branch_points)
            or (count and has_answers_to_earlier(messages[count:turn]))
        ):
            earlier, count = _EarlierTurns(), 0
        if turn > count:
            added = self._build_part(
                messages[count:turn], branch_points, begins_branch=earlier.unmarked_branch
            )
            earlier = _EarlierTurns(
                messages[:turn],
                (*earlier.entries, *added),
                _before(messages, turn, branch_points),
            )
        self._earlier = earlier
        last_turn = self._build_part(
            messages[turn:], branch_points, begins_branch=earlier.unmarked_branch
        )
        return [*earlier.entries, *last_turn]

    def _build_part(
        self,
        messages: "tuple[Message, ...]",
        branch_points: Mapping[str, BranchPoint],
        begins_branch: BranchPoint | None = None,
    ) -> list[Entry]:
        """Return the entries of some messages; their first entry gets the mark `begins_branch`."""
        if begins_branch is not None and messages:
            branch_points = {messages[0].id: begins_branch, **branch_points}
        return list(
            build_entries(messages, is_unfolded=self._is_unfolded, branch_points=branch_points)
        )


def build_entries(
    messages: "Sequence[Message]",
    *,
    is_writing: bool = False,
    is_unfolded: bool = False,
    branch_points: "Mapping[str, BranchPoint] | None" = None,
) -> Iterator[Entry]:
    """Yield the entries of messages, oldest first; `is_writing` marks them as still growing.

    The result of a tool call is shown with the call. The text of folded entries is empty, so
    that it costs nothing until it is unfolded. `branch_points` maps the id of a message to the
    fork whose shown branch it begins.
    """
    results = {each.tool_call_id: each.content for each in messages if each.role == "tool"}
    called: set[str] = set()
    branch_point: BranchPoint | None = None
    for message in messages:
        branch_point = (branch_points or {}).get(message.id, branch_point)
        entries: Iterator[Entry] = iter(())
        if message.role in _SHOWN_ROLES:
            entries = _message_entries(message, results, is_writing, is_unfolded)
            called.update(call.id for call in message.tool_calls)
        elif message.role == "tool" and message.tool_call_id not in called:
            entries = iter((Entry(message.id, "tool", message.content, is_writing),))
        for entry in entries:
            yield replace(entry, branch_point=branch_point) if branch_point is not None else entry
            branch_point = None


def _before(
    messages: "tuple[Message, ...]", count: int, branch_points: Mapping[str, BranchPoint]
) -> dict[str, BranchPoint]:
    """Return the branch points at the first `count` messages."""
    if not branch_points:
        return {}
    later = {message.id for message in messages[count:]}
    return {id_: point for id_, point in branch_points.items() if id_ not in later}


def _message_entries(
    message: "Message", results: dict[str | None, str], is_writing: bool, is_unfolded: bool
) -> Iterator[Entry]:
    if message.reasoning:
        is_open = is_writing and not message.content
        yield Entry(
            f"{message.id}#thinking",
            "thinking",
            message.reasoning if is_unfolded else "",
            is_open,
            _thinking_headline(message, is_open, is_writing),
        )
    note = end_note(message)
    if message.content or note:
        yield Entry(message.id, message.role, message.content, is_writing, note)
    for call in message.tool_calls:
        result = results.get(call.id)
        yield Entry(
            f"{message.id}#{call.id}",
            "call",
            _call_text(call, result) if is_unfolded else "",
            result is None,
            _call_headline(call, result),
        )


def _thinking_headline(message: "Message", is_open: bool, is_writing: bool) -> str:
    words = len(message.reasoning.split())
    count = "1 word" if words == 1 else f"{words} words"
    if is_open:
        return f"thinking… {count}"
    nothing = ", no answer" if message.is_thinking_only and not is_writing else ""
    return f"thought, {count}{nothing}"


def _call_headline(call: "ToolCall", result: str | None) -> str:
    outcome = "…" if result is None else f" → {result}"
    return safe_line(f"{call.name} {call.arguments}{outcome}", _MAX_HEADLINE)


def _call_text(call: "ToolCall", result: str | None) -> str:
    parts = [call.name, _indent_json(call.arguments)]
    if result is not None:
        parts += ["→", _indent_json(result)]
    return "\n".join(parts)


def _indent_json(text: str) -> str:
    """Return a JSON object or array indented, and any other text unchanged."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    nested = isinstance(value, dict | list)
    return json.dumps(value, indent=2, ensure_ascii=False) if nested else text
