"""The display of typed text on the terminal, with the least output for each change."""

import unicodedata
from collections.abc import Callable

from rich.cells import cell_len

_TAB = " " * 4
_CLEAR_BELOW = "\x1b[J"


class LineDisplay:
    """The prompt and the typed text at the bottom of the terminal.

    Text that is typed at the end is written as it is, without escape sequences. On a terminal that
    cannot move its cursor, other changes write the text again on a new line.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        size: Callable[[], tuple[int, int]],
        *,
        can_move: bool,
    ) -> None:
        """`size` returns the columns and rows of the terminal."""
        self._write = write
        self._size = size
        self._columns, self._rows = 0, 0
        """The size of the terminal for which the text was written."""
        self._can_move = can_move
        self._shown = ""
        self._cursor = 0
        """The index in `_shown` of the terminal's cursor."""

    @property
    def is_shown(self) -> bool:
        """True if the cursor is on a line with text."""
        return bool(self._shown)

    def show(self, prompt: str, text: str, cursor: int) -> None:
        """Show the prompt and the text, with the cursor at an index of the text."""
        new = _visible(prompt + text)
        position = len(_visible(prompt + text[:cursor]))
        old, is_at_end = self._shown, self._cursor == len(self._shown)
        if (new, position) == (old, self._cursor):
            return
        if self._is_resized():
            self._begin_again()
            old, is_at_end = "", True
        self._columns, self._rows = self._size()
        if position == len(new) and is_at_end and new.startswith(old):
            self._write(new[len(old) :])
        elif (output := self._change_in_row(new, position)) is not None:
            self._write(output)
        elif not self._can_move:
            self._write(("\n" if old else "") + new + "\b" * cell_len(new[position:]))
        elif new == old and not self._is_on_screen(self._cursor_place(new, position)):
            return
        elif (output := self._change_by_moves(new, position)) is not None:
            self._write(output)
        else:
            self._redraw(new, position)
        self._shown, self._cursor = new, position

    def leave(self) -> None:
        """Move the cursor to a new line below the text."""
        if self._is_resized():
            self._begin_again()
            return
        if self._can_move:
            down = self._place(self._shown)[0] - self._cursor_place(self._shown, self._cursor)[0]
            self._write(f"\x1b[{down}B" if down else "")
        self._write("\n" if self._shown else "")
        self._shown, self._cursor = "", 0

    def _is_resized(self) -> bool:
        return bool(self._shown) and self._size()[0] != self._columns

    def _begin_again(self) -> None:
        """Begin on a new line. After a resize it is unknown in which rows the text is."""
        self._write("\n" + (_CLEAR_BELOW if self._can_move else ""))
        self._shown, self._cursor = "", 0

    def _is_on_screen(self, place: tuple[int, int]) -> bool:
        """Return whether a place in the shown text is on the screen; its end always is."""
        row, column = self._place(self._shown)
        last = row + 1 if column >= self._columns else row
        return last - place[0] < self._rows

    def _change_in_row(self, new: str, position: int) -> str | None:
        """Return the output of a change within the last row, without escape sequences.

        None means that this is not possible, because the change affects other rows, or characters
        whose width on this terminal is uncertain.
        """
        old = self._shown
        start = min(_common_length(old, new), self._cursor, position)
        if self._can_move and not _has_certain_width(old[start:] + new[start:]):
            return None
        row = self._place(old[:start])[0]
        ends = (self._place(old), self._place(new))
        if any(end[0] != row or end[1] >= self._columns for end in ends):
            return None
        erased = max(0, cell_len(old[start:]) - cell_len(new[start:]))
        return (
            "\b" * cell_len(old[start : self._cursor])
            + (new[start:] if old != new else new[start:position])
            + " " * erased
            + "\b" * (erased + (cell_len(new[position:]) if old != new else 0))
        )

    def _change_by_moves(self, new: str, position: int) -> str | None:
        """Return moves and the text from the first change on; None if all must be written again."""
        old, place = self._shown, self._cursor_place(self._shown, self._cursor)
        if new == old:
            target = self._cursor_place(new, position)
            return None if target[1] >= self._columns else _move(place, target)
        start = _common_length(old, new)
        while start > 0 and self._place(old[:start])[1] >= self._columns:
            start -= 1  # the next character is in the next row
        target = self._place(old[:start])
        if not self._is_on_screen(target) or not _has_certain_width(old + new):
            return None
        return _move(place, target) + _CLEAR_BELOW + new[start:] + self._return(new, position)

    def _redraw(self, new: str, position: int) -> None:
        place = self._cursor_place(self._shown, self._cursor)
        self._write(_move(place, (0, 0)) + _CLEAR_BELOW + new + self._return(new, position))

    def _return(self, text: str, position: int) -> str:
        """Return the moves from the end of `text` to an index in it."""
        if position == len(text):
            return ""
        row, column = self._place(text)
        if column < self._columns:
            return _move((row, column), self._cursor_place(text, position))
        # The terminal wraps only before the next character.
        return "\n" + _move((row + 1, 0), self._cursor_place(text, position))

    def _cursor_place(self, text: str, position: int) -> tuple[int, int]:
        """Return the row and column of the cursor at an index of `text`."""
        row, column = self._place(text[:position])
        is_wrapped = column == self._columns and position < len(text)
        return (row + 1, 0) if is_wrapped else (row, column)

    def _place(self, text: str) -> tuple[int, int]:
        """Return the row and column after `text`; the column may be the width of the terminal."""
        columns = self._columns
        row, column = -1, 0
        for line in text.split("\n"):
            row, column = row + 1, 0
            if line.isascii() and line:
                row += (len(line) - 1) // columns
                column = (len(line) - 1) % columns + 1
                continue
            for char in line:
                width = cell_len(char)
                if column + width > columns:
                    row, column = row + 1, width
                else:
                    column += width
        return row, column


def _move(start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the sequence that moves the cursor from one row and column to another."""
    down = end[0] - start[0]
    vertical = f"\x1b[{abs(down)}{'B' if down > 0 else 'A'}" if down else ""
    return vertical + "\r" + (f"\x1b[{end[1]}C" if end[1] else "")


def _has_certain_width(text: str) -> bool:
    """Return whether all terminals draw each character in one column, from left to right."""
    return text.isascii() or all(
        char.isascii()
        or (char.isalpha() and cell_len(char) == 1 and unicodedata.bidirectional(char) == "L")
        for char in text
    )


def _visible(text: str) -> str:
    return text.replace("\t", _TAB)


def _common_length(old: str, new: str) -> int:
    """Return the number of characters at the start that both texts have."""
    low, high = 0, min(len(old), len(new))
    while low < high:  # comparing slices is much faster than comparing characters
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
