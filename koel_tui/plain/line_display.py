"""The text that is typed, as it is shown on the terminal: the least output for each change."""

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
        self, write: Callable[[str], None], columns: Callable[[], int], *, can_move: bool
    ) -> None:
        """`columns` returns the width of the terminal."""
        self._write = write
        self._columns = columns
        self._can_move = can_move
        self._shown = ""
        self._cursor = 0
        """The index in `_shown` at which the terminal's cursor is."""

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
        if position == len(new) and is_at_end and new.startswith(old):
            self._write(new[len(old) :])
        elif (output := self._change_in_row(new, position)) is not None:
            self._write(output)
        else:
            self._redraw(new, position)
        self._shown, self._cursor = new, position

    def leave(self) -> None:
        """Move the cursor to a new line below the text."""
        if self._can_move:
            down = self._place(self._shown)[0] - self._cursor_place(self._shown, self._cursor)[0]
            self._write(f"\x1b[{down}B" if down else "")
        self._write("\n" if self._shown else "")
        self._shown, self._cursor = "", 0

    def _change_in_row(self, new: str, position: int) -> str | None:
        """Return the output of a change within the last row, without escape sequences.

        None means that the change needs more: other rows, or characters whose width on this
        terminal is uncertain.
        """
        old = self._shown
        start = min(_common_length(old, new), self._cursor, position)
        if self._can_move and not (old[start:] + new[start:]).isascii():
            return None
        row = self._place(old[:start])[0]
        ends = (self._place(old), self._place(new))
        if any(end[0] != row or end[1] >= self._columns() for end in ends):
            return None
        erased = max(0, cell_len(old[start:]) - cell_len(new[start:]))
        return (
            "\b" * cell_len(old[start : self._cursor])
            + (new[start:] if old != new else new[start:position])
            + " " * erased
            + "\b" * (erased + (cell_len(new[position:]) if old != new else 0))
        )

    def _redraw(self, new: str, position: int) -> None:
        if not self._can_move:
            self._write(("\n" if self._shown else "") + new + "\b" * cell_len(new[position:]))
            return
        up = self._cursor_place(self._shown, self._cursor)[0]
        self._write((f"\x1b[{up}A" if up else "") + "\r" + _CLEAR_BELOW + new)
        if position < len(new):
            end_row, end_column = self._place(new)
            if end_column == self._columns():
                self._write("\n")  # the terminal wraps only before the next character
                end_row += 1
            row, column = self._cursor_place(new, position)
            up = end_row - row
            right = f"\x1b[{column}C" if column else ""
            self._write((f"\x1b[{up}A" if up else "") + "\r" + right)

    def _cursor_place(self, text: str, position: int) -> tuple[int, int]:
        """Return the row and column of the cursor at an index of `text`."""
        row, column = self._place(text[:position])
        is_wrapped = column == self._columns() and position < len(text)
        return (row + 1, 0) if is_wrapped else (row, column)

    def _place(self, text: str) -> tuple[int, int]:
        """Return the row and column after `text`; the column may be the width of the terminal."""
        columns = self._columns()
        row, column = 0, 0
        for char in text:
            width = cell_len(char)
            if char == "\n":
                row, column = row + 1, 0
            elif column + width > columns:
                row, column = row + 1, width
            else:
                column += width
        return row, column


def _visible(text: str) -> str:
    return text.replace("\t", _TAB)


def _common_length(old: str, new: str) -> int:
    """Return the number of characters at the start that both texts have."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(old), len(new)))
