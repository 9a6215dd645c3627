"""The preview of the thread under the cursor of a list."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from koel_tui.text import safe_line, safe_text
from koel_tui.ui.library.result_lines import (
    MATCH_STYLE,
    QUIET_STYLE,
    ResultLine,
    TextHit,
    split_at_spans,
)
from koel_tui.workspace.saved_threads import SavedThread

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState, Message
    from koel_tui.storage.search.thread_index import Hit

_MAX_CHARACTERS, _MAX_LINES = 400, 8
_BEFORE, _AFTER = 200, 1200
_LAST_MESSAGES = 2
_DEBOUNCE = 0.1
_GAP = Content("\n\n")
_DIALOGUE_ROLES = ("user", "assistant")
_SPEAKERS = {"user": "You", "assistant": "Model", "tool": "Tool"}


class Preview(Static):
    """Shows an excerpt of a thread as plain text."""

    DEFAULT_CSS = """
    Preview {
        width: 1fr;
        height: 1fr;
        padding: 0 0 0 1;
        border-left: solid $border-blurred;
    }
    """

    def __init__(self, read: "Callable[[str], Awaitable[ChatState]]") -> None:
        """`read` returns the state of the thread with a given id."""
        super().__init__(id="preview")
        self._read = read
        self._timer: Timer | None = None

    def show_soon(self, line: ResultLine) -> None:
        """Show a thread or hit when the cursor has rested on it; cancels the previous load."""
        self.workers.cancel_node(self)
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if line is None:
            self.update(Content(""))
        elif self.display:
            # Pass a function instead of a coroutine: the worker may be cancelled before it starts.
            show: Callable[[], Awaitable[None]] = partial(self._show, line)
            self._timer = self.set_timer(_DEBOUNCE, partial(self.run_worker, show))

    async def _show(self, line: SavedThread | TextHit) -> None:
        thread, hit = (line.thread, line.hit) if isinstance(line, TextHit) else (line, None)
        try:
            state = await self._read(thread.id)
        except Exception as error:
            self.update(Content.styled(safe_line(str(error), 400), "$text-error"))
        else:
            # In a thread, because a message may be large.
            self.update(await asyncio.to_thread(preview, state.messages, hit))


def preview(messages: "Sequence[Message]", hit: "Hit | None" = None) -> Content:
    """Return the start and end of a thread, or the messages around a hit."""
    at = next((n for n, m in enumerate(messages) if hit and m.id == hit.message_id), None)
    if hit is not None and at is not None:
        before, after = _dialogue(messages[:at])[-1:], _dialogue(messages[at + 1 :])[:1]
        parts = [*map(_head, before), _format_message(messages[at], _around_hit(messages[at], hit))]
        return _GAP.join([*parts, *map(_head, after)])
    dialogue = _dialogue(messages)
    return (
        _GAP.join(_first_and_last(dialogue))
        if dialogue
        else Content.styled("There are no messages.", QUIET_STYLE)
    )


def _dialogue(messages: "Sequence[Message]") -> "list[Message]":
    return [each for each in messages if each.role in _DIALOGUE_ROLES and each.content.strip()]


def _first_and_last(dialogue: "Sequence[Message]") -> "Iterator[Content]":
    last = dialogue[max(1, len(dialogue) - _LAST_MESSAGES) :]
    left_out = len(dialogue) - 1 - len(last)
    yield _head(dialogue[0])
    if left_out:
        more = f"… {left_out} more message{'' if left_out == 1 else 's'} …"
        yield Content.styled(more, QUIET_STYLE)
    yield from map(_head, last)


def _head(message: "Message") -> Content:
    return _format_message(message, Content(_truncate(message.content)))


def _format_message(message: "Message", text: Content) -> Content:
    speaker = _SPEAKERS.get(message.role, "Other")
    return Content.assemble((speaker, f"bold {QUIET_STYLE}"), "\n", text)


def _truncate(text: str) -> str:
    """Return the start of a text, sanitized."""
    text = text.strip()
    lines = text[:_MAX_CHARACTERS].splitlines()
    kept = "\n".join(lines[:_MAX_LINES])
    return _sanitize(kept) + ("" if kept == text else "…")


def _around_hit(message: "Message", hit: "Hit") -> Content:
    """Return the part of a message around a hit, with the matches highlighted."""
    text = f"{message.content}\n{message.reasoning}" if message.reasoning else message.content
    words = hit.snippet.strip("…")
    if words not in text:  # it was written with other characters
        from koel_tui.storage.search.indexed_text import indexed_form

        text = indexed_form(text)
    start = max(0, text.find(words))
    lead = len(hit.snippet) - len(hit.snippet.lstrip("…"))
    begin = max(0, start - _BEFORE)
    spans = [
        (start - begin + a - lead, start - begin + b - lead)
        for a, b in (hit.spans if words in text else ())
    ]
    shown = text[begin : start + _AFTER]
    pieces = [
        (_sanitize(part), MATCH_STYLE if found else "")
        for part, found in split_at_spans(shown, spans)
    ]
    return Content.assemble(
        "…" if begin else "", *pieces, "…" if start + _AFTER < len(text) else ""
    )


def _sanitize(text: str) -> str:
    return safe_text(text).expandtabs(4)
