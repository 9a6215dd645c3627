"""The difference between two states of the screen, for slow connections."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.cells import split_graphemes
from rich.console import Console
from rich.control import Control
from rich.segment import Segment
from rich.style import Style
from textual._compositor import CompositorUpdate
from textual.screen import Screen
from textual.strip import Strip

_MIN_MOVED_ROWS = 4
"""Fewer changed rows are sent again, even if they only moved."""
_MAX_GAP = 16
"""Unchanged cells between two changes that are sent again; a cursor movement is about as long."""

Cell = tuple[Style | None, str]
"""The style and the text of a cell; the text of the right half of a wide character is empty."""


class ScreenDiff:
    """The rows that the terminal shows, used to send only the difference.

    Textual sends all rows of an answer again whenever its text needs a new row.
    """

    def __init__(self) -> None:
        self._shown: Sequence[Strip | None] = ()

    def forget(self) -> None:
        """Assume nothing about the terminal, after a resize or the output of another program."""
        self._shown = ()

    def update(self, screen: Screen[object]) -> CompositorUpdate:
        """Return the update from what the terminal shows to the content of `screen`."""
        return _Difference(screen, self)

    def render(self, rows: Sequence[Strip], console: Console) -> str:
        """Return the output after which the terminal shows `rows`."""
        shown = self._shown if len(self._shown) == len(rows) else [None] * len(rows)
        output = []
        if (scroll := _find_scroll(shown, rows)) is not None:
            output.append(scroll.sequence)
            shown = scroll.moved(shown)
        for y, (before, now) in enumerate(zip(shown, rows, strict=True)):
            if before != now:
                for x, part in _changes(before, now):
                    output.append(Control.move_to(x, y).segment.text + part.render(console))
        self._shown = tuple(rows)
        return "".join(output)


class _Difference(CompositorUpdate):
    """An update with only the cells that differ from what the terminal shows."""

    def __init__(self, screen: Screen[object], diff: ScreenDiff) -> None:
        self._screen = screen
        self._diff = diff

    def render_segments(self, console: Console) -> str:
        # Textual calls this only when it sends the update, so what is assumed stays correct.
        return self._diff.render(self._screen._compositor.render_strips(), console)


@dataclass(frozen=True, slots=True)
class _Scroll:
    """Rows `first` to `last`, whose content moves up by `distance` rows; down if it is negative."""

    first: int
    last: int
    distance: int

    @property
    def sequence(self) -> str:
        """The output that moves the rows: line feeds or reverse ones in a scrolling region."""
        row, feed = (self.last, "\n") if self.distance > 0 else (self.first, "\x1bM")
        region = f"\x1b[{self.first + 1};{self.last + 1}r"
        return f"{region}\x1b[{row + 1};1H{feed * abs(self.distance)}\x1b[r"

    def moved(self, rows: Sequence[Strip | None]) -> Sequence[Strip | None]:
        """Return the rows after it; the content of new ones is unknown."""
        inside, count = rows[self.first : self.last + 1], abs(self.distance)
        new: list[Strip | None] = [None] * count
        kept = [*inside[count:], *new] if self.distance > 0 else [*new, *inside[:-count]]
        return [*rows[: self.first], *kept, *rows[self.last + 1 :]]


def _find_scroll(before: Sequence[Strip | None], now: Sequence[Strip]) -> _Scroll | None:
    """Return the movement that explains most of the changed rows; None if there is none."""
    changed = [y for y, (old, new) in enumerate(zip(before, now, strict=True)) if old != new]
    if len(changed) < _MIN_MOVED_ROWS:
        return None
    top, bottom = changed[0], changed[-1]
    matches, best = len(changed) // 2, None
    for distance in range(top - bottom, bottom - top + 1):
        found = [
            y for y in changed if top <= y + distance <= bottom and before[y + distance] == now[y]
        ]
        if len(found) > matches:
            matches = len(found)
            ends = (found[0], found[-1], found[0] + distance, found[-1] + distance)
            best = _Scroll(min(ends), max(ends), distance)
    return best


def _changes(before: Strip | None, now: Strip) -> Iterator[tuple[int, Strip]]:
    """Yield the parts of a row that changed, each with its first column."""
    cells = _cells(now)
    old = [] if before is None else _cells(before)
    if not len(old) == len(cells) == now.cell_length:
        yield 0, now
        return
    differing = [x for x, (was, is_) in enumerate(zip(old, cells, strict=True)) if was != is_]
    start = 0
    for index, x in enumerate(differing):
        if index == 0 or x - differing[index - 1] > _MAX_GAP:
            start = x
        if index == len(differing) - 1 or differing[index + 1] - x > _MAX_GAP:
            first, end = _whole_characters(cells, start, x + 1)
            runs = groupby(cells[first:end], key=itemgetter(0))
            yield (
                first,
                Strip(Segment("".join(text for _, text in run), look) for look, run in runs),
            )


def _whole_characters(cells: Sequence[Cell], start: int, end: int) -> tuple[int, int]:
    """Return a range of cells, extended to both halves of wide characters."""
    while start > 0 and not cells[start][1]:
        start -= 1
    while end < len(cells) and not cells[end][1]:
        end += 1
    return start, end


def _cells(strip: Strip) -> Sequence[Cell]:
    """Return the cells of a row; none if a character is divided between two styles."""
    cells: list[Cell] = []
    for text, style, _ in strip:
        look = style and _without_meta(style)
        if text.isascii():
            cells += [(look, character) for character in text]
            continue
        for start, end, width in split_graphemes(text)[0]:
            if not width:
                return ()
            cells += [(look, text[start:end]), *[(look, "")] * (width - 1)]
    return cells


def _without_meta(style: Style) -> Style:
    """Return what a terminal shows of a style: Textual's offsets in the text are left out."""
    look = style.clear_meta_and_links()
    return look.update_link(style.link) if style.link else look
