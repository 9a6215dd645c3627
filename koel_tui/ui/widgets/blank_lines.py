"""Containers whose own lines need no rendering."""

from typing import TYPE_CHECKING

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

if TYPE_CHECKING:
    from textual.widget import Widget as _Base
else:  # Textual styles a class as its first widget base class
    _Base = object


class BlankLines(_Base):
    """Mixin for a container that has children only, so that its lines are blank.

    Textual would render every line of a container again when it grows, although its children
    cover it.
    """

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return blank lines; the lines of a container with a border are rendered."""
        if self.styles.gutter != self.styles.padding:
            return super().render_lines(crop)
        _, background = self.background_colors
        line = Strip.blank(crop.width, Style.from_color(bgcolor=background.rich_color))
        for line_filter in self.get_line_filters():
            line = line.apply_filter(line_filter, background)
        return [line] * crop.height
