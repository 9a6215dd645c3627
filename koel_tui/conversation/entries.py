"""Transcript entries, the notices below them, and the entry cache of a thread. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from koel_tui.conversation.incomplete_answers import mark
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState, Fork, Message, ToolCall


@dataclass(frozen=True, slots=True)
class BranchPoint:
    """A fork of a thread: the number of the shown branch, counted from 1, and the branch count.

    `after` is the id of the preceding message, None at the start of the thread.
    """

    after: str | None
    shown: int
    count: int

    @property
    def mark(self) -> str:
        """A short label, for example `‹1/2›`."""
        return f"‹{self.shown}/{self.count}›"


@dataclass(frozen=True, slots=True)
class Entry:
    """A message or a block of one; `writing` is true while it may still grow.

    `note` says how a message ended, or is the headline of a thinking or tool call block, whose
    `text` is empty while it is folded. `branching` is set if the entry begins a branch.
    """

    id: str
    role: str
    text: str
    writing: bool = False
    note: str = ""
    branching: BranchPoint | None = None

    @property
    def remark(self) -> str:
        """The branch mark and the note, joined; empty if there is neither."""
        mark = self.branching.mark if self.branching is not None else ""
        return " ".join(filter(None, (mark, self.note)))


@dataclass(frozen=True, slots=True)
class Notice:
    """A line below the messages: an error, the state of a run, or a queued prompt.

    A click runs `action`, an action of the app, if it is set. `hints` are pairs of key id and
    description, shown after the text.
    """

    kind: str
    text: str
    action: str = ""
    hints: tuple[tuple[str, str], ...] = ()


def newest(entries: Sequence[Entry]) -> str:
    """Return a string that changes when there is a new message or new text in the last one.

    Foldable blocks are ignored, because unfolding them adds no new content.
    """
    for entry in reversed(entries):
        if entry.role in ("user", "assistant"):
            return f"{entry.id} {len(entry.text)}"
    return ""


_SHOWN = ("user", "assistant")
_HEADLINE = 200


class EntryCache:
    """A cache of the entries of one thread; unchanged entries are reused."""

    def __init__(self) -> None:
        self.end: BranchPoint | None = None
        """The fork at the end of the thread whose shown branch has no complete message."""
        self._messages: tuple[Message, ...] = ()
        self._entries: list[Entry] = []
        self._unfolded = False

    def of(self, state: "ChatState") -> "Sequence[Entry]":
        """Return the entries of this thread state, oldest first."""
        if state.messages is not self._messages:
            self._messages = state.messages
            begun, self.end = branchings_of(state)
            self._entries = list(
                entries_of(state.messages, unfolded=self._unfolded, branchings=begun)
            )
        if not state.open_messages:
            return self._entries
        pending = state.pending_messages
        begun = {pending[0].id: self.end} if self.end is not None else {}
        written = entries_of(pending, writing=True, unfolded=self._unfolded, branchings=begun)
        return [*self._entries, *written]

    def fold(self) -> None:
        """Toggle whether thinking and tool calls are folded."""
        self._unfolded = not self._unfolded
        self._messages = ()


def entries_of(
    messages: "Sequence[Message]",
    *,
    writing: bool = False,
    unfolded: bool = False,
    branchings: "Mapping[str, BranchPoint] | None" = None,
) -> Iterator[Entry]:
    """Yield the entries of messages, oldest first; `writing` marks them as still growing.

    The result of a tool call is shown with the call. The text of folded entries is empty, so
    that it costs nothing until it is unfolded. `branchings` maps the id of a message to the
    fork whose shown branch it begins.
    """
    results = {each.tool_call_id: each.content for each in messages if each.role == "tool"}
    called: set[str] = set()
    begins: BranchPoint | None = None
    for message in messages:
        begins = (branchings or {}).get(message.id, begins)
        entries: Iterator[Entry] = iter(())
        if message.role in _SHOWN:
            entries = _entries_of(message, results, writing, unfolded)
            called.update(call.id for call in message.tool_calls)
        elif message.role == "tool" and message.tool_call_id not in called:
            entries = iter((Entry(message.id, "tool", message.content, writing),))
        for entry in entries:
            yield replace(entry, branching=begins) if begins is not None else entry
            begins = None


def branchings_of(state: "ChatState") -> tuple[dict[str, BranchPoint], BranchPoint | None]:
    """Return the forks of a thread by the id of the first message of the shown branch.

    The second value is the fork at the end, if its shown branch has no complete message.
    """
    from koel_tui.protocol import forks_shown

    if not state.forks:
        return {}, None
    forks = forks_shown(state)
    found: dict[str, BranchPoint] = {}
    before: str | None = None
    for message in state.messages:
        if fork := forks.get(before):
            found[message.id] = branching_of(fork)
        before = message.id
    last = forks.get(before)
    return found, branching_of(last) if last is not None else None


def branching_of(fork: "Fork") -> BranchPoint:
    """Convert a fork to a `BranchPoint`."""
    return BranchPoint(fork.after, fork.shown + 1, len(fork.branches))


def _entries_of(
    message: "Message", results: dict[str | None, str], writing: bool, unfolded: bool
) -> Iterator[Entry]:
    if message.reasoning:
        open_now = writing and not message.content
        yield Entry(
            f"{message.id}#thinking",
            "thinking",
            message.reasoning if unfolded else "",
            open_now,
            _thinking(message, open_now, writing),
        )
    note = mark(message)
    if message.content or note:
        yield Entry(message.id, message.role, message.content, writing, note)
    for call in message.tool_calls:
        result = results.get(call.id)
        yield Entry(
            f"{message.id}#{call.id}",
            "call",
            _call_text(call, result) if unfolded else "",
            result is None,
            _call_headline(call, result),
        )


def _thinking(message: "Message", open_now: bool, writing: bool) -> str:
    words = len(message.reasoning.split())
    count = "1 word" if words == 1 else f"{words} words"
    if open_now:
        return f"thinking… {count}"
    nothing = ", no answer" if message.is_thinking_only and not writing else ""
    return f"thought, {count}{nothing}"


def _call_headline(call: "ToolCall", result: str | None) -> str:
    outcome = "…" if result is None else f" → {result}"
    return safe_line(f"{call.name} {call.arguments}{outcome}", _HEADLINE)


def _call_text(call: "ToolCall", result: str | None) -> str:
    parts = [call.name, _pretty(call.arguments)]
    if result is not None:
        parts += ["→", _pretty(result)]
    return "\n".join(parts)


def _pretty(text: str) -> str:
    """Return a JSON object or array indented, and any other text unchanged."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    nested = isinstance(value, dict | list)
    return json.dumps(value, indent=2, ensure_ascii=False) if nested else text
