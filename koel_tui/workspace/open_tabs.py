"""The open tabs and their JSON format, which persists them between runs of the program."""

import json
from dataclasses import dataclass
from typing import Any

from koel_tui.conversation.drafts import Draft, parse_draft_lenient

MAX_SAVED_TABS = 1000
"""The maximum for one list, which may merge the tabs of several app instances."""
_FORMAT = "koel-chat/tabs"


@dataclass(frozen=True, slots=True)
class OpenTab:
    """A tab: the id of its thread if it has one, its title, and its draft."""

    thread_id: str | None
    title: str
    draft: Draft


@dataclass(frozen=True, slots=True)
class OpenTabs:
    """The tabs from left to right, and the index of the active one."""

    tabs: tuple[OpenTab, ...] = ()
    active: int = 0

    def encode(self) -> bytes:
        """Serialize the tabs for `decode`."""
        tabs = [
            {"thread": tab.thread_id, "title": tab.title, "draft": tab.draft.to_json()}
            for tab in self.tabs
        ]
        return json.dumps({"format": _FORMAT, "tabs": tabs, "active": self.active}).encode("ascii")

    def merge(self, others: "OpenTabs") -> "OpenTabs":
        """Return these tabs followed by the others; the active tab stays active.

        Of two tabs with the same thread, the second keeps only its draft, or is dropped.
        """
        known = {tab.thread_id for tab in self.tabs if tab.thread_id is not None}
        new = [
            OpenTab(None, "", tab.draft) if tab.thread_id in known else tab for tab in others.tabs
        ]
        new = [tab for tab in new if tab.thread_id is not None or tab.draft.text]
        active = self.active if self.tabs else min(others.active, max(0, len(new) - 1))
        return OpenTabs((*self.tabs, *new), active)


def decode(data: bytes) -> OpenTabs:
    """Parse the tabs in `data`. Raises `ValueError` if it is invalid."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, dict) or value.get("format") != _FORMAT:
        raise ValueError("not a list of open tabs")
    tabs, active = value.get("tabs"), value.get("active")
    if not isinstance(tabs, list) or not isinstance(active, int):
        raise ValueError("not a list of open tabs")
    if len(tabs) > MAX_SAVED_TABS:
        raise ValueError(f"it has {len(tabs)} tabs, and {MAX_SAVED_TABS} is the most")
    read = tuple(_parse_tab(tab) for tab in tabs)
    return OpenTabs(read, min(max(0, active), max(0, len(read) - 1)))


def _parse_tab(value: Any) -> OpenTab:
    if not isinstance(value, dict):
        raise ValueError("not a tab")
    thread_id, title = value.get("thread"), value.get("title")
    if not isinstance(title, str) or not isinstance(thread_id, str | None):
        raise ValueError("not a tab")
    return OpenTab(thread_id, title, parse_draft_lenient(value.get("draft")))
