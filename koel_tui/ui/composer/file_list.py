"""The files that can be attached, in a small list above the prompt, which has the keys."""

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from koel_tui.formatting import fit
from koel_tui.ui.composer.attachments import shown_name

MOST_SHOWN = 8
_FRAME = 4
"""Cells beside the text of a line: the frame, and a space at each side."""


class FilePicker(Static):
    """Shows lines to choose from, over the transcript, while there are any."""

    def __init__(self) -> None:
        super().__init__(id="files")
        self.display = False

    def show(self, paths: Sequence[str], chosen: int | None, hint: str) -> None:
        """Show paths, the one that enter takes marked; without one all are meant."""
        width = max(8, self.app.size.width - _FRAME - 2)
        lines = [
            Content.styled(fit(f" {shown_name(path)}", width), "reverse" if n == chosen else "")
            for n, path in enumerate(paths)
        ]
        self.border_subtitle = hint
        self.update(Content("\n").join(lines))
        self.display = True

    def hide(self) -> None:
        """Show nothing."""
        self.display = False
