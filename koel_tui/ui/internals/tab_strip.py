"""Private parts of Textual's `Tabs`: the inner row of tabs, scrolling and the underline."""

from textual.widget import Widget
from textual.widgets import Tabs

from koel_tui.ui.internals.layout import layout_now


def tabs_container(tabs: Tabs) -> Widget:
    """Return the parent widget of the tabs."""
    return tabs.query_one("#tabs-list")


def scroll_active_into_view(tabs: Tabs) -> None:
    """Scroll to the active tab, because Textual does so before a new tab has its layout."""
    if tabs.active_tab is not None:
        tabs.query_one("#tabs-scroll").scroll_to_center(tabs.active_tab, animate=False, force=True)


def redraw_underline(tabs: Tabs) -> None:
    """Redraw the underline of the active tab.

    Textual does so when a label changes, but sometimes before the tab has its new width.
    """
    layout_now(tabs)
    tabs._highlight_active(animate=False)
