"""Opens links after validating them and asking the user."""

import os
from collections.abc import Awaitable, Callable
from typing import ClassVar, Literal

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from koel_tui.system.browser import NoBrowserError, open_in_browser
from koel_tui.ui.conversation.links import Link, UnsafeLinkError, find_links, validate_url
from koel_tui.ui.internals import at_position_of
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.panel import Panel

Decision = Literal["open", "copy"]


class LinkDialog(Panel[Decision]):
    """Shows a complete URL and asks what to do with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "decide('open')", "Open"),
        Binding(at_position_of("c"), "decide('copy')", "Copy"),
        Binding("escape", "dismiss", "Close"),
    ]

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def compose(self) -> ComposeResult:
        """Yield the host, first because a long prefix could hide it, and then the complete URL."""
        host, quiet = "bold $text-accent", "$foreground 60%"
        with VerticalScroll(id="panel"):
            yield Static(
                Content.assemble(
                    "The link leads to ",
                    (self._link.host, host),
                    "\n\n",
                    (self._link.before, quiet),
                    (self._link.host, host),
                    (self._link.after, quiet),
                )
            )

    def on_mount(self) -> None:
        """Set the title and the key hints."""
        panel = self.query_one("#panel")
        panel.border_title = "Open this link?"
        panel.border_subtitle = "enter opens · c copies · esc closes"

    def action_decide(self, decision: Decision) -> None:
        """Dismiss with a decision."""
        self.dismiss(decision)


class LinkOpener:
    """Opens links; `copy` copies a URL."""

    def __init__(self, app: App[int], copy: Callable[[str, str], Awaitable[None]]) -> None:
        self._app = app
        self._copy = copy

    def choose(self, answer: str) -> None:
        """Let the user choose one of the links of an answer."""
        from koel_tui.ui.conversation.link_picker import LinkPicker, link_choice

        def on_chosen(choice: SimpleChoice[str] | None) -> None:
            if choice is not None:
                self.confirm(choice.value)

        found = [link_choice(link) for link in find_links(answer)]
        if found:
            self._app.push_screen(LinkPicker(found), on_chosen)
        else:
            self._app.notify("There is no link in the last answer.")

    def confirm(self, href: str) -> None:
        """Ask whether to open a URL; if it is unsafe, show the reason instead."""
        try:
            link = validate_url(href)
        except UnsafeLinkError as error:
            self._app.notify(f"This link is not opened: {error}. It leads to {href}")
            return

        async def on_decision(decision: Decision | None) -> None:
            if decision == "copy":
                await self._copy(link.url, "the address")
            elif decision == "open":
                self._app.run_worker(self._open(link.url), group="browser")

        self._app.push_screen(LinkDialog(link), on_decision)

    async def _open(self, url: str) -> None:
        try:
            await open_in_browser(url, os.environ)
        except NoBrowserError as error:
            self._app.notify(str(error))
