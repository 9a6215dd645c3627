"""What of a thread is shown: its messages as entries, thinking and calls as folded blocks. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from koel_tui.incomplete import mark
from koel_tui.text import safe_line
from koel_tui.ui.entries import Branching, Entry

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState, Fork, Message, ToolCall

_SHOWN = ("user", "assistant")
_HEADLINE = 200


class Listing:
    """The entries of one thread; those that are the same are not made again."""

    def __init__(self) -> None:
        self.end: Branching | None = None
        """The branching at the end of the thread, where nothing is finished yet."""
        self._messages: tuple[Message, ...] = ()
        self._entries: list[Entry] = []
        self._unfolded = False

    def of(self, state: "ChatState") -> "Sequence[Entry]":
        """Return the entries of the thread in this state, oldest first."""
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
        """Unfold thinking and calls, or fold them again."""
        self._unfolded = not self._unfolded
        self._messages = ()


def entries_of(
    messages: "Sequence[Message]",
    *,
    writing: bool = False,
    unfolded: bool = False,
    branchings: "Mapping[str, Branching] | None" = None,
) -> Iterator[Entry]:
    """Yield the entries of messages, oldest first; with `writing` more of them may come.

    The result of a call is shown with the call. Of what is folded the text is left out, so that
    it costs nothing until somebody wants to see it. `branchings` are those that begin with a
    message, by its id.
    """
    results = {each.tool_call_id: each.content for each in messages if each.role == "tool"}
    called: set[str] = set()
    begins: Branching | None = None
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


def branchings_of(state: "ChatState") -> tuple[dict[str, Branching], Branching | None]:
    """Return the branchings of a thread by the messages they begin with.

    And the one at its end, where nothing is finished yet in the branch shown.
    """
    from koel_tui.protocol import forks_shown

    if not state.forks:
        return {}, None
    forks = forks_shown(state)
    found: dict[str, Branching] = {}
    before: str | None = None
    for message in state.messages:
        if fork := forks.get(before):
            found[message.id] = branching_of(fork)
        before = message.id
    last = forks.get(before)
    return found, branching_of(last) if last is not None else None


def branching_of(fork: "Fork") -> Branching:
    """Return a fork as it is shown."""
    return Branching(fork.after, fork.shown + 1, len(fork.branches))


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
    """Return JSON spread over lines, and any other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    nested = isinstance(value, dict | list)
    return json.dumps(value, indent=2, ensure_ascii=False) if nested else text
