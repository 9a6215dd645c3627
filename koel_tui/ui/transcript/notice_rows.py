"""The notices above and below the messages of a transcript."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.message import Message
from textual.style import Style
from textual.widgets import Static

from koel_tui.conversation.notices import Notice
from koel_tui.text import safe_text
from koel_tui.ui.keys.hints import format_hints

_STYLES = {"error": "$text-error", "welcome": "$foreground", "action": "bold $text-accent"}
_QUIET = "$foreground 60%"


class NoticeRows(Static):
    """Shows notices; hidden when there are none."""

    @dataclass
    class Selected(Message):
        """The user clicked a notice with an action."""

        notice: Notice

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
        self.update(Content("\n").join(self._content(*each) for each in enumerate(rows)))

    def action_select(self, index: int) -> None:
        """Post that a notice was clicked."""
        if index < len(self._rows):  # the rows may have changed since they were painted
            self.post_message(self.Selected(self._rows[index]))

    def _content(self, index: int, row: Notice) -> Content:
        text = row.text + format_hints(self.app, row.hints)
        content = Content.styled(safe_text(text), _STYLES.get(row.kind, _QUIET))
        if not (row.action or row.template):
            return content
        return content.stylize(Style.from_meta({"@click": f"select({index})"}))


def more_above(count: int) -> list[Notice]:
    """Return the notice of how many messages are above the mounted range."""
    return [Notice("more", f"↑ {count} earlier message{'s' if count > 1 else ''}")] if count else []


def more_below(count: int) -> list[Notice]:
    """Return the notice of how many messages are below the mounted range."""
    return [Notice("more", f"↓ {count} later message{'s' if count > 1 else ''}")] if count else []
