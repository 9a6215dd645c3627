"""Line-by-line diff of the output sent to the terminal."""

from collections.abc import Iterator

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate

Update = LayoutUpdate | ChopsUpdate


class LineDiff:
    """A cache of the last output of each line, used to skip unchanged lines.

    Textual resends all lines of an answer with every word.
    """

    def __init__(self) -> None:
        self._sent: dict[int, str] = {}

    def forget(self) -> None:
        """Clear the cache after a resize or after another program used the terminal."""
        self._sent.clear()

    def changed_only(self, update: Update) -> CompositorUpdate:
        """Return the update without unchanged pieces."""
        return _Changes(update, self._sent)


class _Changes(CompositorUpdate):
    """The pieces of an update that differ from the last output of their lines."""

    def __init__(self, update: Update, sent: dict[int, str]) -> None:
        self._update = update
        self._sent = sent

    def render_segments(self, console: Console) -> str:
        # Textual calls this only when it sends the update, so the cache stays correct.
        changed = []
        for y, piece in _pieces(self._update, console):
            if self._sent.get(y) != piece:
                self._sent[y] = piece
                changed.append(piece)
        return "".join(changed)


def _pieces(update: Update, console: Console) -> Iterator[tuple[int, str]]:
    """Yield line number and output of each piece, including the cursor movement to it."""
    if isinstance(update, LayoutUpdate):
        left, top, _, _ = update.region
        for y, strips in enumerate(update.strips, top):
            line = "".join(strip.render(console) for strip in strips)
            yield y, f"{Control.move_to(left, y).segment.text}{line}"
    else:
        for span in update.spans:
            piece = ChopsUpdate(update.chops, [span], update.chop_ends)
            yield span[0], piece.render_segments(console)
