"""The preview of the thread under the cursor of a list."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from koel_tui.text import safe_line, safe_text
from koel_tui.ui.library.result_lines import FOUND, QUIET, Line, TextHit, pieces_of
from koel_tui.workspace.saved_threads import SavedThread

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState, Message
    from koel_tui.storage.search.thread_index import Hit

_LONGEST, _MOST_LINES = 400, 8
_BEFORE, _BEHIND = 200, 1200
_NEWEST = 2
_PAUSE = 0.1
_GAP = Content("\n\n")
_TALKING = ("user", "assistant")
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
        self._pause: Timer | None = None

    def look_at(self, line: Line) -> None:
        """Show a thread or hit when the cursor has rested on it; cancels the previous load."""
        self.workers.cancel_node(self)
        if self._pause is not None:
            self._pause.stop()
            self._pause = None
        if line is None:
            self.update(Content(""))
        elif self.display:
            # Pass a function instead of a coroutine: the worker may be cancelled before it starts.
            show: Callable[[], Awaitable[None]] = partial(self._show, line)
            self._pause = self.set_timer(_PAUSE, partial(self.run_worker, show))

    async def _show(self, line: SavedThread | TextHit) -> None:
        thread, hit = (line.thread, line.hit) if isinstance(line, TextHit) else (line, None)
        try:
            state = await self._read(thread.id)
        except Exception as error:
            self.update(Content.styled(safe_line(str(error), 400), "$text-error"))
        else:
            self.update(preview(state.messages, hit))


def preview(messages: "Sequence[Message]", hit: "Hit | None" = None) -> Content:
    """Return the start and end of a thread, or the messages around a hit."""
    at = next((n for n, m in enumerate(messages) if hit and m.id == hit.message_id), None)
    if hit is not None and at is not None:
        before, behind = _of_people(messages[:at])[-1:], _of_people(messages[at + 1 :])[:1]
        parts = [*map(_begin, before), _said(messages[at], _round(messages[at], hit))]
        return _GAP.join([*parts, *map(_begin, behind)])
    said = _of_people(messages)
    return _GAP.join(_ends(said)) if said else Content.styled("Nothing is said.", QUIET)


def _of_people(messages: "Sequence[Message]") -> "list[Message]":
    return [each for each in messages if each.role in _TALKING and each.content.strip()]


def _ends(said: "Sequence[Message]") -> "Iterator[Content]":
    last = said[max(1, len(said) - _NEWEST) :]
    left_out = len(said) - 1 - len(last)
    yield _begin(said[0])
    if left_out:
        more = f"… {left_out} more message{'' if left_out == 1 else 's'} …"
        yield Content.styled(more, QUIET)
    yield from map(_begin, last)


def _begin(message: "Message") -> Content:
    return _said(message, Content(_cut(message.content)))


def _said(message: "Message", text: Content) -> Content:
    speaker = _SPEAKERS.get(message.role, "Other")
    return Content.assemble((speaker, f"bold {QUIET}"), "\n", text)


def _cut(text: str) -> str:
    """Return the start of a text, sanitized."""
    text = text.strip()
    lines = text[:_LONGEST].splitlines()
    kept = "\n".join(lines[:_MOST_LINES])
    return _shown(kept) + ("" if kept == text else "…")


def _round(message: "Message", hit: "Hit") -> Content:
    """Return the part of a message around a hit, with the matches highlighted."""
    text = f"{message.content}\n{message.reasoning}" if message.reasoning else message.content
    words = hit.snippet.strip("…")
    start = max(0, text.find(words))
    lead = len(hit.snippet) - len(hit.snippet.lstrip("…"))
    begin = max(0, start - _BEFORE)
    spans = [
        (start - begin + a - lead, start - begin + b - lead)
        for a, b in (hit.spans if words in text else ())
    ]
    shown = text[begin : start + _BEHIND]
    pieces = [(_shown(part), FOUND if found else "") for part, found in pieces_of(shown, spans)]
    return Content.assemble(
        "…" if begin else "", *pieces, "…" if start + _BEHIND < len(text) else ""
    )


def _shown(text: str) -> str:
    return safe_text(text).expandtabs(4)
