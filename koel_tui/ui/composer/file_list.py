"""The list of files above the prompt; the prompt handles its keys."""

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from koel_tui.formatting import truncate
from koel_tui.ui.composer.attachments import sanitize_name

MAX_SHOWN = 8
_FRAME = 4
"""Cells of a line that are not text: the border, and one space on each side."""


class FileList(Static):
    """Shows files above the prompt, over the transcript; hidden while there are none."""

    def __init__(self) -> None:
        super().__init__(id="files")
        self.display = False

    def show(self, paths: Sequence[str], chosen: int | None, hint: str) -> None:
        """Show paths and mark the chosen one; None means that all are attached."""
        width = max(8, self.app.size.width - _FRAME - 2)
        lines = [
            Content.styled(
                truncate(f" {sanitize_name(path)}", width), "reverse" if n == chosen else ""
            )
            for n, path in enumerate(paths)
        ]
        self.border_subtitle = hint
        self.update(Content("\n").join(lines))
        self.display = True

    def hide(self) -> None:
        """Hide the list."""
        self.display = False
