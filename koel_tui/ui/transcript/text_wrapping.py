"""Text wrapping to a width in cells, fast enough for megabytes. Pure."""

import re
import unicodedata
from array import array
from dataclasses import dataclass
from functools import cache, lru_cache

TAB_SIZE = 8
"""The columns between tab stops."""
_FILLER = "\0"
"""Inserted after each character of two cells, so that one index is one cell."""
_WIDE = re.compile(
    "[\u1100-\u115f\u231a-\u23ff\u25fd\u25fe\u2600-\u27bf\u2b1b-\u2b55\u2630-\u268f\u2e80-\ua4cf"
    "\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe1f\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6"
    "\U00016fe0-\U0001b2ff\U0001d300-\U0001d37f\U0001f000-\U0001faff\U00020000-\U0003fffd]+"
)
"""Wide characters. Some have one cell in some terminals, where rows end slightly early."""
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
_MAX_PATTERNS = 16
"""Maximum number of patterns that are kept; a resized window asks for one for each width."""


@dataclass(frozen=True, slots=True)
class WrappedLine:
    """One row, and the line and column in the text where it begins."""

    text: str
    line: int
    column: int


class Wrapping:
    """A text wrapped to one width, preferably at spaces.

    It must not contain control characters other than tabs and newlines. One pass of a regular
    expression finds the start of each row, and rows are sliced on demand: creating an object for
    each row would take seconds.
    """

    def __init__(self, text: str) -> None:
        self._text = _pad_wide_characters(text)
        self._starts = array("L", (0,))
        self._width = 0

    @property
    def text(self) -> str:
        """The text, with tabs expanded to spaces."""
        return self._text.replace(_FILLER, "")

    def show(self, text: str) -> None:
        """Set a longer text that begins with the current one; only its end is wrapped again."""
        self._text = _pad_wide_characters(text)
        if self._width:
            self._wrap_from(self._starts.pop())

    def count(self, width: int) -> int:
        """Return the number of rows at a width of `width` cells."""
        if width != self._width:
            self._width = width
            self._starts = array("L")
            self._wrap_from(0)
        return len(self._starts)

    def row(self, index: int) -> WrappedLine:
        """Return a row for the width last passed to `count`."""
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else len(self._text)
        line_start = self._text.rfind("\n", 0, start) + 1
        return WrappedLine(
            self._text[start:end].rstrip("\n").replace(_FILLER, ""),
            self._text.count("\n", 0, start),
            start - line_start - self._text.count(_FILLER, line_start, start),
        )

    def _wrap_from(self, start: int) -> None:
        found = _rows(max(1, self._width), self._text.isascii()).finditer(self._text, start)
        end = len(self._text)
        self._starts.extend(offset for row in found if (offset := row.start()) < end)
        if not self._starts:
            self._starts.append(0)


def slice_written(line: str, start: int, end: int, tab_size: int = TAB_SIZE) -> str:
    """Return the part of a line between two columns that count a tab as several spaces."""
    if "\t" not in line:
        return line[start:end]
    written: list[str] = []
    column = 0
    for char in line:
        if start <= column < end:
            written.append(char)
        column += tab_size - column % tab_size if char == "\t" else 1
    return "".join(written)


def _pad_wide_characters(text: str) -> str:
    text = text.expandtabs(TAB_SIZE)
    if text.isascii():
        return text
    return _WIDE.sub(lambda run: _FILLER.join(run[0]) + _FILLER, text)


@lru_cache(_MAX_PATTERNS)
def _rows(width: int, ascii_only: bool) -> re.Pattern[str]:
    """Return the pattern of a row: to the line's end, else its last space, else `width` cells."""
    cell = r"[^\n]" if ascii_only else rf"[^\n][{_marks()}]*+"
    halved = rf"(?!{_FILLER})|(?:{cell}){{{max(1, width - 1)}}}"
    return re.compile(
        rf"(?:{cell}){{0,{width}}}(?: *(?:\n|\Z)| +)"
        rf"|(?:{cell}){{{width}}}{'' if ascii_only else halved}"
    )


@cache
def _marks() -> str:
    """Return the zero-width characters, for a regular expression class."""
    return "".join(
        chr(code)
        for code in range(0x300, 0x10000)
        if unicodedata.category(chr(code)) == "Mn" and code not in _VARIATION_SELECTORS
    )
