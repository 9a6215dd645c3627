"""What is sent to the terminal, line by line."""

from collections.abc import Iterator

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate

Update = LayoutUpdate | ChopsUpdate


class LineDiff:
    """What was sent of each line last, so that it is not sent twice.

    With every word of an answer Textual sends all the lines of it anew.
    """

    def __init__(self) -> None:
        self._sent: dict[int, str] = {}

    def forget(self) -> None:
        """Take nothing for granted: the terminal was another program's, or has another size."""
        self._sent.clear()

    def without_repeats(self, update: Update) -> CompositorUpdate:
        """Return the part of an update that changes anything."""
        return _Changes(update, self._sent)


class _Changes(CompositorUpdate):
    """The pieces of an update that are not the last ones sent of their lines."""

    def __init__(self, update: Update, sent: dict[int, str]) -> None:
        self._update = update
        self._sent = sent

    def render_segments(self, console: Console) -> str:
        # Called only when the update is really sent.
        changed = []
        for y, piece in _pieces(self._update, console):
            if self._sent.get(y) != piece:
                self._sent[y] = piece
                changed.append(piece)
        return "".join(changed)


def _pieces(update: Update, console: Console) -> Iterator[tuple[int, str]]:
    """Yield an update line by line; each piece says itself where it goes."""
    if isinstance(update, LayoutUpdate):
        left, top, _, _ = update.region
        for y, strips in enumerate(update.strips, top):
            line = "".join(strip.render(console) for strip in strips)
            yield y, f"{Control.move_to(left, y).segment.text}{line}"
    else:
        for span in update.spans:
            piece = ChopsUpdate(update.chops, [span], update.chop_ends)
            yield span[0], piece.render_segments(console)
