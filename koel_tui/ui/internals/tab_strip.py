"""The row of tabs: what Textual puts between it and its tabs, and the line below them."""

from textual.widget import Widget
from textual.widgets import Tabs

from koel_tui.ui.internals.layout import lay_out


def row_of(tabs: Tabs) -> Widget:
    """Return the widget whose children the tabs are."""
    return tabs.query_one("#tabs-list")


def bring_into_sight(tabs: Tabs) -> None:
    """Scroll to the active tab. Textual does so before a tab that is new has its place."""
    if tabs.active_tab is not None:
        tabs.query_one("#tabs-scroll").scroll_to_center(tabs.active_tab, animate=False, force=True)


def underline(tabs: Tabs) -> None:
    """Draw the line below the active tab anew.

    Textual does so when a label changes, and now and then before the tab has its new width.
    """
    lay_out(tabs)
    tabs._highlight_active(animate=False)
