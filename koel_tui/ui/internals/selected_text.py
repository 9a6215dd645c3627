"""The text that is selected on a screen."""

from textual.screen import Screen
from textual.widget import Widget
from textual.widgets._markdown import MarkdownBullet, MarkdownTableContent


def selected_text(screen: Screen[object]) -> str:
    """Return the selected text, with tabs between the cells of a row of a table.

    Textual would copy each cell as a line, and two spaces after a bullet.
    """
    parts: list[str] = []
    for widget, selection in screen.selections.items():
        found = widget.get_selection(selection) if widget.is_attached else None
        if found is not None:
            text, end = found
            text = text.strip() if isinstance(widget, MarkdownBullet) else text
            parts += [text, "\t" if _is_within_row(widget) else end]
    return "".join(parts[:-1]).rstrip("\n")  # without the separator after the last part


def _is_within_row(widget: Widget) -> bool:
    """Return whether a widget is a cell of a table, and not the last one of its row."""
    table = widget.parent
    if not isinstance(table, MarkdownTableContent):
        return False
    return (table.children.index(widget) + 1) % max(1, len(table.headers)) != 0
