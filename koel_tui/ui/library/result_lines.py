"""The lines of the thread list: threads, and hits of a text search. Pure."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widgets.option_list import Option

from koel_tui.formatting import truncate
from koel_tui.text import safe_line
from koel_tui.ui.widgets.picker import format_line
from koel_tui.workspace.saved_threads import SavedThread

if TYPE_CHECKING:
    from koel_tui.storage.search.thread_index import Hit

MATCH_STYLE = "bold $text-accent"
"""Style of the matched words."""
QUIET_STYLE = "$foreground 60%"

_MIN_DETAIL_WIDTH = 56
"""Width of the list in columns below which less is shown of each thread."""

Piece = tuple[str, bool]
"""A part of a text, and whether it is a match."""


@dataclass(frozen=True, slots=True)
class TextHit:
    """A hit of a text search in a thread of the list."""

    thread: SavedThread
    """The thread, with the hit as the position to open."""
    hit: "Hit"


ResultLine = SavedThread | TextHit | None
"""A line of the list; None means a heading."""


def match_hits(
    hits: "Iterable[Hit]", threads: Iterable[SavedThread], titles: Container[str]
) -> Iterator[TextHit]:
    """Yield the hits in these threads, except titles that are already listed."""
    known = {thread.id: thread for thread in threads if thread.enabled}
    for hit in hits:
        thread = known.get(hit.thread_id)
        if thread is not None and (hit.role != "title" or thread.id not in titles):
            yield TextHit(replace(thread, message_id=hit.message_id), hit)


def split_at_spans(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    """Split a text at `spans`; yield the matches and the parts between them."""
    end = 0
    for start, stop in spans:
        yield text[end:start], False
        yield text[start:stop], True
        end = stop
    yield text[end:], False


def excerpt(hit: "Hit", width: int) -> Content:
    """Return a hit and its context in at most `width` cells, with the first match visible."""
    (before, _), *rest = [
        (_flatten(text), found) for text, found in split_at_spans(hit.snippet, hit.spans)
    ]
    return _truncate([(_truncate_start(before.lstrip(), width // 3), False), *rest], width)


def line_option(line: ResultLine, width: int) -> Option:
    """Return a list option of `width` cells; a hit has two lines."""
    if line is None:
        return Option(Content.styled("in the text", QUIET_STYLE), disabled=True)
    thread = line.thread if isinstance(line, TextHit) else line
    detail = (
        thread.short_detail
        if width < _MIN_DETAIL_WIDTH or isinstance(line, TextHit)
        else thread.detail
    )
    content = format_line(thread.title, detail, width)
    if isinstance(line, TextHit):
        content = Content.assemble(content, "\n  ", excerpt(line.hit, width - 2))
    return Option(content, disabled=not thread.enabled)


def line_thread(line: ResultLine) -> SavedThread | None:
    """Return the thread of a line, with the position to open; None for a heading."""
    return line.thread if isinstance(line, TextHit) else line


def line_key(line: ResultLine) -> tuple[bool, str, str]:
    """Return the identity of a line, independent of the thread's other properties."""
    thread = line_thread(line)
    return (isinstance(line, TextHit), thread.id, thread.message_id) if thread else (False, "", "")


def _flatten(text: str) -> str:
    """Return a part of a line on one line, keeping the spaces at its ends."""
    return safe_line(f"[{text}]", len(text) * 8 + 8)[1:-1]


def _truncate_start(text: str, width: int) -> str:
    """Return the end of a text that is too wide."""
    if cell_len(text) <= width:
        return text
    kept = set_cell_size(text[::-1], max(0, width - 1))[::-1]
    return f"…{kept.lstrip()}"


def _truncate(pieces: Sequence[Piece], width: int) -> Content:
    """Return the parts as one line, truncated to `width` cells."""
    whole = "".join(text for text, _ in pieces).rstrip()
    line = truncate(whole, width)
    room = len(line) if line == whole else max(0, len(line) - 1)
    shown, at = Content(line), 0
    for text, found in pieces:
        if found and at < room:
            shown = shown.stylize(MATCH_STYLE, at, min(at + len(text), room))
        at += len(text)
    return shown
