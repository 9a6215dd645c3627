"""The main screen: its layout, the callbacks of conversations, and the actions on tabs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.geometry import Offset
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, TextArea

from koel_tui.conversation.background_jobs import BackgroundJobs
from koel_tui.conversation.conversation import Conversation
from koel_tui.text import safe_line
from koel_tui.ui import internals
from koel_tui.ui.app.save_banner import SaveBanner
from koel_tui.ui.app.status_line import StatusLine, status_for
from koel_tui.ui.app.tab_bar import Label, TabBar, mounted_range, tab_label
from koel_tui.ui.app.terminal_alert import TerminalAlert
from koel_tui.ui.conversation.conversation_pane import ConversationPane
from koel_tui.ui.keys.hints import key_of
from koel_tui.ui.keys.key_table import KEYS, bindings
from koel_tui.ui.models.model_download import ModelDownload
from koel_tui.ui.transcript.text_column import row_end
from koel_tui.ui.widgets.throttle import Throttle, queue_scheduler
from koel_tui.workspace.open_tabs import OpenTabs
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.unsaved import current_problem
from koel_tui.workspace.window_state import WindowState
from koel_tui.workspace.workspace import TooManyTabsError, Workspace

_PAINT_INTERVAL = 0.2
_MIN_HEIGHTS = (9, 7, 5)
"""Minimum terminal height in rows for the footer, the tab bar and the status line."""
_FOOTER_ORDER: Mapping[str | None, int] = MappingProxyType(
    {key.id: place for place, key in enumerate(KEYS)}
)


@dataclass(frozen=True, slots=True)
class Services:
    """The services of the app that the main screen shows and controls."""

    runtime: Runtime
    window_state: WindowState
    background_jobs: BackgroundJobs
    download: ModelDownload
    terminal_alert: TerminalAlert


class MainScreen(internals.PaintTimer, Screen[None], inherit_bindings=False):
    """Shows the tabs, the active conversation, save errors, the status line and the footer.

    It observes the conversations. Textual's own bindings of a screen are left out, because the app
    binds ctrl+c.
    """

    BINDINGS = bindings("screen")

    def __init__(
        self,
        services: Services,
        pane: ConversationPane,
        interval: float,
        on_ready: Callable[[], Awaitable[None]],
    ) -> None:
        """Repaint tabs and status line at most once every `interval` seconds or more rarely.

        `on_ready` is called when the widgets are mounted, before they are painted.
        """
        super().__init__(id="_default")
        self.workspace = Workspace(self)
        self.pane = pane
        self._services = services
        self._on_ready = on_ready
        self._hint = ""
        self._tab_bar = TabBar(tab_label(self.workspace.active, unread=False))
        self.status_line = StatusLine(
            status_for(self.workspace.active, services.runtime, self._hint)
        )
        self._banner = SaveBanner()
        self._footer = Footer(show_command_palette=False)
        # The app's queue also runs the actions, so a repaint and an action do not overlap.
        self.repaint_throttle = Throttle(
            lambda delay, flush: queue_scheduler(self.app)(delay, flush),
            self._paint,
            max(interval, _PAINT_INTERVAL),
            paint_clock=lambda: self.paint_seconds,
        )

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """The bindings in the order of the key table, in which the footer shows them."""
        found = super().active_bindings.items()
        return dict(sorted(found, key=lambda item: _FOOTER_ORDER.get(item[1].binding.id, 0)))

    def compose(self) -> ComposeResult:
        """Yield the widgets, top to bottom."""
        yield self._tab_bar
        yield self.pane
        yield self._banner
        yield self.status_line
        yield self._footer

    async def on_mount(self) -> None:
        """Let the app fill the widgets before they are painted."""
        await self._on_ready()

    def get_widget_and_offset_at(self, x: int, y: int) -> tuple[Widget | None, Offset | None]:
        """Return the text at a point; to the right of a message, the end of its row."""
        widget, offset = super().get_widget_and_offset_at(x, y)
        end = row_end(widget, x, y) if offset is None else None
        return (widget, offset) if end is None else super().get_widget_and_offset_at(end, y)

    # Callbacks of conversations

    def on_conversation_changed(self, conversation: Conversation) -> None:
        """Repaint the label of a conversation, and its messages if they are visible."""
        if conversation.has_answered:
            self._services.runtime.clear_problem()
        if notice := self._services.runtime.new_notice(conversation):
            self.notify(notice, severity="warning")
        is_busy = conversation.is_busy or any(each.is_busy for each in self.workspace.tabs)
        self._services.background_jobs.pause_while_busy(is_busy)
        self.pane.changed(conversation)
        self.request_repaint()

    def on_run_ended(self, conversation: Conversation) -> None:
        """Mark a tab unread if it is not visible, alert the user, queue a title job if needed.

        Offer to free a model context if the active thread could not get one.
        """
        self.workspace.tabs.mark_unread(conversation)
        self._services.terminal_alert.notify(conversation.title, failed=conversation.has_failed)
        backend = self._services.runtime.backend
        if backend is not None and backend.titles and conversation.needs_title:
            from koel_tui.conversation.titles_and_summaries import title_job

            self._services.background_jobs.add(title_job(conversation))
        self.on_conversation_changed(conversation)
        if conversation.hit_session_limit and conversation is self.workspace.active:
            self._offer_parking(conversation)

    def on_text_returned(self, conversation: Conversation, text: str) -> None:
        """Insert returned text into the prompt, before its current text."""
        self.pane.restore_text(conversation, text)

    def on_save_failed(self, conversation: Conversation) -> None:
        """Report that a closed thread could not be saved."""
        why = conversation.save_problem
        self.notify(f"NOT SAVED: {conversation.title}: {why}", severity="error")

    # User actions

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Let the draft in the prompt be saved."""
        self._services.window_state.mark_changed()

    def on_tab_bar_selected(self, event: TabBar.Selected) -> None:
        """Activate the tab that the user clicked."""
        clicked = next((each for each in self.workspace.tabs if each.key == event.tab_id), None)
        if clicked is not None and self.workspace.tabs.activate(clicked):
            self.app.call_later(self.show_active)  # the app's queue runs the other actions too

    async def action_new_tab(self) -> None:
        """Open an empty tab."""
        if self._can_open_tab():
            self.pane.store_view_state()
            self.workspace.new()
            await self.show_active()

    async def action_close_tab(self) -> None:
        """Close the active tab; its thread stays saved, and queued texts become its draft."""
        self.workspace.active.stop()
        self.pane.store_view_state()
        self.workspace.close(self.workspace.active)
        await self.show_active()

    async def action_reopen_tab(self) -> None:
        """Reopen the tab that was closed last."""
        self.pane.store_view_state()
        await self.open(self.workspace.reopen())

    async def action_step_tab(self, distance: int) -> None:
        """Activate the tab `distance` positions to the right."""
        self.workspace.tabs.activate(self.workspace.tabs.step(distance))
        await self.show_active()

    async def action_go_to_tab(self, number: int) -> None:
        """Activate the tab with this number, if it exists."""
        conversation = self.workspace.tabs.at(number)
        if conversation is not None and self.workspace.tabs.activate(conversation):
            await self.show_active()

    def action_find_tab(self) -> None:
        """Choose an open tab from a list and activate it."""
        from koel_tui.ui.app.tab_picker import TabChoice, TabPicker, choices

        async def activate(choice: TabChoice | None) -> None:
            if choice is not None and self.workspace.tabs.activate(choice.conversation):
                await self.show_active()

        tabs = ((each, self._label(each)) for each in self.workspace.tabs)
        self.app.push_screen(TabPicker(choices(tabs)), activate)

    async def action_side_by_side(self) -> None:
        """Show a second tab side by side, with a shared prompt; if one is shown, hide it."""
        tabs = self.workspace.tabs
        if tabs.paired is not None:
            tabs.unpair()
        elif len(tabs) == 1:
            self.workspace.add_paired()  # two tabs are always within the limit
        else:
            self._choose_pair()
            return
        await self.show_active()

    def _choose_pair(self) -> None:
        from koel_tui.ui.app.tab_picker import PairPicker, TabChoice, pair_choices

        async def pair(choice: TabChoice | None) -> None:
            if choice is None:
                return
            if choice.conversation is not self.workspace.active:
                self.workspace.tabs.pair_with(choice.conversation)
            elif self._can_open_tab():
                self.workspace.add_paired()
            await self.show_active()

        tabs = ((each, self._label(each)) for each in self.workspace.tabs)
        self.app.push_screen(PairPicker(pair_choices(tabs, self.workspace.active)), pair)

    async def action_swap(self) -> None:
        """Swap the two tabs shown side by side; the prompt keeps its text."""
        active, paired = self.workspace.active, self.workspace.tabs.paired
        if paired is None:
            key = key_of(self.app, "tab.beside")
            self.notify(f"No tab is shown side by side. {key} shows one.")
            return
        self.pane.store_view_state()
        moves = (
            active.message_edit is None and paired.message_edit is None
        )  # else each keeps its own draft
        paired_draft = paired.draft
        if moves:
            paired.draft = active.draft
        self.workspace.tabs.activate(paired)
        await self.show_active()
        if moves:
            active.draft = paired_draft

    async def action_move_tab(self, distance: int) -> None:
        """Move the active tab `distance` positions to the right."""
        self.workspace.tabs.move(distance)
        await self._paint()

    async def action_branch_off(self) -> None:
        """Open a tab with a copy of this thread up to the visible answer."""
        if not (answer := self.pane.visible_answer()):
            self.notify("There is no answer yet to start a new thread from.")
            return
        self.pane.store_view_state()
        await self.open(self.workspace.branch(answer))

    def action_summarise(self) -> None:
        """Open a tab with a new thread whose prompt contains a summary of this one."""
        from koel_tui.conversation.titles_and_summaries import summary_job

        conversation = self.workspace.active
        if conversation.is_new:
            self.notify("This thread has no messages to summarise yet.")
            return
        self._services.background_jobs.add(summary_job(conversation, self._receive_summary))
        self.notify("A summary is being written. It opens in a new tab.")

    def action_scroll_to_end(self) -> None:
        """Show the newest message; the prompt's border links to this action."""
        self.pane.action_scroll("end")

    # For the app

    def show_hint(self, hint: str) -> None:
        """Show a hint in the status line in place of the activity; an empty one is removed."""
        self._hint = hint
        self.request_repaint()

    def limit_rows(self, height: int) -> None:
        """In a low terminal, hide footer, tab bar and status line to keep messages and prompt."""
        for part, rows in zip(
            (self._footer, self._tab_bar, self.status_line), _MIN_HEIGHTS, strict=True
        ):
            part.display = height >= rows

    async def open(self, opening: Awaitable[object]) -> None:
        """Wait until a tab is open and show it; an error is shown to the user."""
        try:
            await opening
        except Exception as error:
            self.notify(f"The thread cannot be opened: {error}", severity="error")
        await self.show_active()

    async def show_active(self) -> None:
        """Update the widgets to show the active tab."""
        with self.app.batch_update():  # one layout pass for both
            await self.pane.show(self.workspace.active, self.workspace.tabs.paired)
            await self._paint()
        for conversation in (self.workspace.active, self.workspace.tabs.paired):
            if conversation is not None and conversation.is_unloaded:
                self.run_worker(self._load_thread(conversation))

    def open_tabs(self) -> OpenTabs:
        """Return the tabs in the form in which they are saved."""
        self.pane.store_draft()
        return self.workspace.snapshot(self.pane.prompt.pastes)

    def request_repaint(self) -> None:
        """Repaint tabs, banner and status line soon."""
        if self.is_running:
            self.repaint_throttle.request()

    # Implementation

    async def _load_thread(self, conversation: Conversation) -> None:
        try:
            await self.workspace.load(conversation)
        except Exception as error:
            self.notify(f"The thread of a tab cannot be opened: {error}", severity="error")
            self.pane.store_view_state()
            self.workspace.close_if_empty(conversation)
            await self.show_active()
        self.on_conversation_changed(conversation)

    def _can_open_tab(self) -> bool:
        """Return whether another tab may be opened; if not, notify the user."""
        if self.workspace.is_full:
            self.notify(str(TooManyTabsError()), severity="warning")
        return not self.workspace.is_full

    def _receive_summary(self, conversation: Conversation, summary: str) -> None:
        # Run on the app's own queue, because the summary job may be cancelled at any time.
        self.app.call_later(self._open_summary, conversation, summary)

    async def _open_summary(self, conversation: Conversation, summary: str) -> None:
        if not summary:
            self.notify(f"The model returned no summary of “{conversation.title}”. Try again.")
            return
        self.pane.store_view_state()
        before = self.workspace.active
        new = self.workspace.add_new(conversation.meta.copy(""))
        if before is not conversation or before.draft:
            self.workspace.tabs.activate(before)  # the user is typing in that tab
            self.workspace.tabs.mark_unread(new)
        await self.show_active()
        self.pane.restore_text(new, summary)

    def _offer_parking(self, conversation: Conversation) -> None:
        from koel_tui.ui.widgets.confirm_panel import ConfirmPanel

        other, backend = self.workspace.least_recently_used(), self._services.runtime.backend
        if other is None or backend is None:
            return

        async def park(agreed: bool | None) -> None:
            if agreed:
                await backend.agent.release(other.thread_id or "")
                conversation.retry()

        text = (
            "All model contexts are in use. The least recently used thread is"
            f"\n\n  {safe_line(other.title)}\n\nParking frees its context. The tab stays open; its"
            " next answer may start more slowly."
        )
        self.app.push_screen(ConfirmPanel("Park a thread?", text, "parks it and asks again"), park)

    async def _paint(self) -> None:
        tabs, services = self.workspace.tabs, self._services
        services.window_state.mark_changed()
        shown = mounted_range(len(tabs), tabs.number(tabs.active) - 1)
        labels = [self._label(each) for each in islice(tabs, shown.start, shown.stop)]
        await self._tab_bar.show_labels(labels, tabs.active.key, shown.start + 1)
        paired = tabs.paired
        self.pane.set_titles(
            self._label(tabs.active).name if paired is not None else "",
            self._label(paired).name if paired is not None else "",
        )
        self._banner.show(
            current_problem(services.runtime.backend, self.workspace, services.window_state)
        )
        background_job = services.background_jobs.status_text
        download = services.download.progress.status_text
        self.status_line.show(
            status_for(tabs.active, services.runtime, self._hint, background_job, download)
        )

    def _label(self, conversation: Conversation) -> Label:
        return tab_label(conversation, self.workspace.tabs.is_unread(conversation))
