"""The lines of the thread list: threads, and hits of a text search. Pure."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widgets.option_list import Option

from koel_tui.formatting import truncate
from koel_tui.text import safe_line
from koel_tui.ui.widgets.picker import line_of
from koel_tui.workspace.saved_threads import SavedThread

if TYPE_CHECKING:
    from koel_tui.storage.search.thread_index import Hit

FOUND = "bold $text-accent"
"""Style of the matched words."""
QUIET = "$foreground 60%"

_BRIEF = 56
"""Width of the list in columns below which less is shown of each thread."""

Piece = tuple[str, bool]
"""A part of a text, and whether it is a match."""


@dataclass(frozen=True, slots=True)
class TextHit:
    """A hit of a text search in a thread of the list."""

    thread: SavedThread
    """The thread, with the hit as the position to open."""
    hit: "Hit"


Line = SavedThread | TextHit | None
"""A line of the list; None is a heading."""


def placed(
    hits: "Iterable[Hit]", threads: Iterable[SavedThread], titles: Container[str]
) -> Iterator[TextHit]:
    """Yield the hits in these threads, except titles that are already listed."""
    known = {thread.id: thread for thread in threads if thread.takeable}
    for hit in hits:
        thread = known.get(hit.thread_id)
        if thread is not None and (hit.role != "title" or thread.id not in titles):
            yield TextHit(replace(thread, message_id=hit.message_id), hit)


def pieces_of(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    """Split a text at `spans`; yield the matches and the parts between them."""
    end = 0
    for start, stop in spans:
        yield text[end:start], False
        yield text[start:stop], True
        end = stop
    yield text[end:], False


def excerpt(hit: "Hit", width: int) -> Content:
    """Return a hit and its context in at most `width` cells, with the first match visible."""
    (before, _), *rest = [(_flat(text), found) for text, found in pieces_of(hit.snippet, hit.spans)]
    return _within([(_shortened(before.lstrip(), width // 3), False), *rest], width)


def option_of(line: Line, width: int) -> Option:
    """Return a list option of `width` cells; a hit has two lines."""
    if line is None:
        return Option(Content.styled("in the text", QUIET), disabled=True)
    thread = line.thread if isinstance(line, TextHit) else line
    aside = thread.short_detail if width < _BRIEF or isinstance(line, TextHit) else thread.aside
    content = line_of(thread.title, aside, width)
    if isinstance(line, TextHit):
        content = Content.assemble(content, "\n  ", excerpt(line.hit, width - 2))
    return Option(content, disabled=not thread.takeable)


def thread_of(line: Line) -> SavedThread | None:
    """Return the thread of a line, with the position to open; None for a heading."""
    return line.thread if isinstance(line, TextHit) else line


def key_of(line: Line) -> tuple[bool, str, str]:
    """Return the identity of a line, independent of the thread's other properties."""
    thread = thread_of(line)
    return (isinstance(line, TextHit), thread.id, thread.message_id) if thread else (False, "", "")


def _flat(text: str) -> str:
    """Return a part of a line on one line, keeping the spaces at its ends."""
    return safe_line(f"[{text}]", len(text) * 8 + 8)[1:-1]


def _shortened(text: str, width: int) -> str:
    """Return the end of a text that is too wide."""
    if cell_len(text) <= width:
        return text
    kept = set_cell_size(text[::-1], max(0, width - 1))[::-1]
    return f"…{kept.lstrip()}"


def _within(pieces: Sequence[Piece], width: int) -> Content:
    """Return the parts as one line, truncated to `width` cells."""
    whole = "".join(text for text, _ in pieces).rstrip()
    line = truncate(whole, width)
    room = len(line) if line == whole else max(0, len(line) - 1)
    shown, at = Content(line), 0
    for text, found in pieces:
        if found and at < room:
            shown = shown.stylize(FOUND, at, min(at + len(text), room))
        at += len(text)
    return shown
