"""The notices above and below the messages of a transcript."""

from collections.abc import Sequence

from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from koel_tui.conversation.entries import Notice
from koel_tui.text import safe_text
from koel_tui.ui.keys.hints import format_hints

_STYLES = {"error": "$text-error", "welcome": "$foreground", "action": "bold $text-accent"}
_QUIET = "$foreground 60%"


class NoticeRows(Static):
    """Shows notices; hidden when there are none."""

    def __init__(self, id: str) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.display = False
        self._rows: Sequence[Notice] = ()

    def show(self, rows: Sequence[Notice]) -> None:
        """Show these notices; unchanged ones are skipped, because a layout pass is expensive."""
        if rows == self._rows:
            return
        self._rows = rows
        self.display = bool(rows)
        self.update(Content("\n").join(self._content(row) for row in rows))

    def _content(self, row: Notice) -> Content:
        text = row.text + format_hints(self.app, row.hints)
        content = Content.styled(safe_text(text), _STYLES.get(row.kind, _QUIET))
        return content.stylize(Style.from_meta({"@click": row.action})) if row.action else content


def more_above(count: int) -> list[Notice]:
    """Return the notice of how many messages are above the mounted range."""
    return [Notice("more", f"↑ {count} earlier message{'s' if count > 1 else ''}")] if count else []


def more_below(count: int) -> list[Notice]:
    """Return the notice of how many messages are below the mounted range."""
    return [Notice("more", f"↓ {count} later message{'s' if count > 1 else ''}")] if count else []
