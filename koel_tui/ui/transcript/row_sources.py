"""The written text of rendered rows: what a selection of them copies. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.selection import Selection

from koel_tui.ui.transcript.text_wrapping import slice_written

_SOURCE = "source"
"""The name in the metadata of a style: the index of the source of a text."""
_QUOTE = "\u258c"
"""The bar before a quotation."""
_FRAME = f" {_QUOTE}{''.join(map(chr, range(0x2500, 0x2580)))}"
"""The characters of padding and of borders."""
TAB_SIZE = 4
"""The columns between tab stops."""


@dataclass(frozen=True, slots=True)
class Source:
    """A line as it was written, or a cell of a table."""

    text: str
    shown: str
    """The text on the screen."""
    visible_length: int
    """The length of the text on the screen without the spaces at its end."""
    row: int = -1
    """A number that the cells of one row of a table share; -1 for a line."""
    is_code: bool = False

    def slice(self, start: int, end: int) -> str:
        """Return the written text between two columns of the text on the screen."""
        return slice_written(self.text, start, end, TAB_SIZE)


def source_of(text: str, *, row: int = -1, is_code: bool = False) -> Source:
    """Return the source of a line or a cell, which is shown without tabs and is never empty."""
    shown = text.expandtabs(TAB_SIZE) or " "
    return Source(text, shown, len(shown.rstrip()), row, is_code)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a row that shows a part of a source."""

    source: Source
    index: int
    """The index of the source."""
    column: int
    """The column in the row."""
    start: int
    """The column in the source."""
    length: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row of segments, and the parts of it that have a source."""

    segments: Sequence[Segment]
    pieces: Sequence[_Piece] = ()

    @property
    def text(self) -> str:
        """The text of the row."""
        return "".join(segment.text for segment in self.segments)


def style_of(index: int) -> Style:
    """Return the style that marks a text with the index of its source."""
    return Style(meta={_SOURCE: index})


def locate(lines: Sequence[Sequence[Segment]], sources: Sequence[Source]) -> list[Row]:
    """Return rows whose marked texts are located in their sources."""
    ends = [0] * len(sources)
    return [Row(segments, list(_pieces(segments, sources, ends))) for segments in lines]


def _pieces(
    segments: Sequence[Segment], sources: Sequence[Source], ends: list[int]
) -> Iterator[_Piece]:
    """Yield the located texts of a row; `ends` has the columns up to which sources were shown."""
    texts: dict[int, tuple[int, str]] = {}
    column = 0
    for segment in segments:
        index = -1 if segment.style is None else segment.style.meta.get(_SOURCE, -1)
        if index >= 0:
            begin, before = texts.get(index, (column, ""))
            texts[index] = (begin, before + segment.text)
        column += len(segment.text)
    for index, (begin, text) in texts.items():
        source = sources[index]
        text = text if source.shown.startswith(text, ends[index]) else text.rstrip()
        start = max(source.shown.find(text, ends[index]), ends[index])
        ends[index] = start + len(text)
        yield _Piece(source, index, begin, start, len(text))


def copied_text(rows: Sequence[Row], selection: Selection) -> str:
    """Return the selected text as it was written, without what only the screen has."""
    first = selection.start.y if selection.start is not None else 0
    last = selection.end.y if selection.end is not None else len(rows) - 1
    copied = _Copied()
    for index in range(max(0, first), min(last, len(rows) - 1) + 1):
        begin = selection.start.x if selection.start is not None and index == first else 0
        is_end = selection.end is not None and index == last
        end = selection.end.x if is_end and selection.end is not None else None
        copied.add(rows[index], begin, end)
    return copied.text


@dataclass(slots=True)
class _Span:
    """The copied part of a source."""

    prefix: str
    """The bullet or number before it."""
    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The text to copy."""
        return self.prefix + self.source.slice(self.start, self.end)


class _Copied:
    """The lines of a copy, collected row by row."""

    def __init__(self) -> None:
        self._lines: list[str | dict[int, _Span]] = []
        """The lines: text without a source, or spans by the index of their source."""
        self._spans: dict[int, _Span] = {}
        """The spans by the index of their source."""
        self._table_row = -1

    @property
    def text(self) -> str:
        """The text, without empty lines at its ends."""
        return "\n".join(
            line if isinstance(line, str) else "\t".join(line[index].text for index in sorted(line))
            for line in self._lines
        ).strip("\n")

    def add(self, row: Row, begin: int, end: int | None) -> None:
        """Add the part of a row between two columns."""
        text = row.text
        end = len(text) if end is None else min(end, len(text))
        if not row.pieces:
            self._add_other(text[begin:end])
        for piece in row.pieces:
            if piece.column < end and piece.column + piece.length > begin:
                prefix = text[begin : piece.column].replace(f"{_QUOTE} ", "")
                is_marked = piece is row.pieces[0] and not piece.source.is_code
                self._add_piece(piece, begin, end, prefix if is_marked and prefix.strip() else "")

    def _add_other(self, row: str) -> None:
        """Add a row without a source: a rule, an image, or padding, which is an empty line."""
        text = row.strip(_FRAME)
        self._table_row = -1
        if text:
            self._lines.append(text if text.strip("-") else "---")
        elif not row.strip() and self._lines and self._lines[-1] != "":
            self._lines.append("")

    def _add_piece(self, piece: _Piece, begin: int, end: int, prefix: str) -> None:
        stop = piece.start + min(piece.length, end - piece.column)
        if piece.column + piece.length <= end and stop >= piece.source.visible_length:
            stop = len(piece.source.shown)  # the screen has no spaces at the end of a line
        if piece.index in self._spans:
            self._spans[piece.index].end = stop
            return
        start = piece.start + max(0, begin - piece.column)
        span = self._spans[piece.index] = _Span(prefix, piece.source, start, stop)
        last = self._lines[-1] if self._lines else ""
        if isinstance(last, dict) and piece.source.row >= 0 and piece.source.row == self._table_row:
            last[piece.index] = span
        else:
            self._lines.append({piece.index: span})
        self._table_row = piece.source.row
